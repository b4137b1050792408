"""The shipped checkpoint is an ordinary one, small, and as good as its README says."""

from __future__ import annotations

import json

import torch
from transformers import AutoTokenizer

import edgegen
from edgegen import demo
from edgegen.bundle import open_tokenizer

TEXT = "KING RICHARD III:\nNow is the winter of our discontent\n\n  Made glorious — é 🙂"


def test_it_is_small_enough_to_ship() -> None:
    model = edgegen.author_model(edgegen.open_checkpoint(demo.CHECKPOINT))
    assert 2e6 <= model.parameter_count <= 5e6
    assert model.config.vocab_size == 2048
    assert {entry.dtype for entry in model.sources.values()} == {"BF16"}
    assert sum(p.stat().st_size for p in demo.CHECKPOINT.iterdir()) < 8e6


def test_transformers_reads_the_tokenizer_as_sentencepiece_does() -> None:
    ours = open_tokenizer(demo.CHECKPOINT)
    theirs = AutoTokenizer.from_pretrained(demo.CHECKPOINT)

    assert theirs(TEXT)["input_ids"] == [1, *ours.encode(TEXT)]
    assert ours.decode(ours.encode(TEXT)) == TEXT


@torch.no_grad()
def test_validation_loss_is_the_recorded_one() -> None:
    """The figure in the README is of these very weights."""
    from scripts.train_tiny_shakespeare import VALIDATION_SHARE, validation_loss
    from tests.engines.reference import hf_reference

    reference = hf_reference(demo.CHECKPOINT)
    text = (demo.CHECKPOINT.parents[2] / "scripts" / "tinyshakespeare.txt").read_text()
    ids = reference.tokenizer.encode(text[int(len(text) * (1 - VALIDATION_SHARE)) :])
    found = validation_loss(reference.model, torch.tensor(ids))
    reference.model.eval()

    recorded = json.loads((demo.CHECKPOINT / "training.json").read_text())
    assert abs(found - recorded["validation_loss_nats_per_token"]) < 1e-3
