"""Authored modules against transformers' own classes with random weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import edgegen
from edgegen.author.models import ARCHITECTURES, architecture
from edgegen.author.reference import reference_logits
from tests.author.parity import TOKENS, assert_equal_logits, our_logits, random_tokens
from tests.hf import save_checkpoint, tiny_config

DECODERS = [name for name in ARCHITECTURES if getattr(architecture(name), "KIND", "") == "decoder"]


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("model_type", DECODERS)
def test_logits_equal_transformers(tmp_path: Path, model_type: str, seed: int) -> None:
    assert_equal_logits(tmp_path, tiny_config(model_type), seed=seed)


@pytest.mark.parametrize("model_type", DECODERS)
def test_padding_rows_of_a_short_chunk_do_not_show(tmp_path: Path, model_type: str) -> None:
    """The engines pad a chunk with position 0; only `input_pos[0]` may decide the write."""
    save_checkpoint(tmp_path, tiny_config(model_type))
    model = edgegen.author_model(edgegen.open_checkpoint(tmp_path))
    tokens = random_tokens(model.config.vocab_size, count=9).int()
    state, caches = model.load_state(), model.module.empty_caches(64)
    for start, stop in ((0, 4), (4, 8)):
        padded = torch.cat([tokens[:, start:stop], torch.zeros(1, 11, dtype=torch.int32)], dim=1)
        positions = torch.cat([torch.arange(start, stop), torch.zeros(11)]).int()
        with torch.no_grad():
            _, caches = torch.func.functional_call(model.module, state, (padded, positions, caches))

    with torch.no_grad():
        found, _ = torch.func.functional_call(
            model.module, state, (tokens[:, 8:], torch.tensor([8], dtype=torch.int32), caches)
        )

    expected = our_logits(model, tokens, [9])[:, 8]
    torch.testing.assert_close(found[:, 0], expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("model_type", DECODERS)
def test_streamed_reference_equals_the_module(tmp_path: Path, model_type: str) -> None:
    """The one-layer-at-a-time reference of the self-check is the same model."""
    save_checkpoint(tmp_path, tiny_config(model_type))
    model = edgegen.author_model(edgegen.open_checkpoint(tmp_path))
    tokens = random_tokens(model.config.vocab_size)

    found = reference_logits(model, tokens[0].tolist())

    torch.testing.assert_close(found, our_logits(model, tokens, [TOKENS])[0], atol=1e-4, rtol=1e-4)


def test_real_sizes_author_without_weights() -> None:
    """Authoring builds on the meta device, whatever the size: this one would take 30 GB."""
    sizes = {"hidden_size": 4096, "intermediate_size": 14336, "vocab_size": 128256}
    config = tiny_config("llama", num_hidden_layers=32, **sizes)
    chosen = architecture("llama")
    with torch.device("meta"):
        decoder = chosen.build(chosen.read_config(config))

    assert sum(p.numel() for p in decoder.parameters()) > 6e9
    assert decoder.ropes["full_attention"].inv_freq.device.type == "cpu"
