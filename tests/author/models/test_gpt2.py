"""GPT-2: what its configs and its files may look like."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import edgegen
from edgegen.author.models import architecture
from edgegen.errors import ConfigError
from tests.author.parity import TOKENS, assert_equal_logits, our_logits, random_tokens
from tests.hf import save_checkpoint, tiny_config

VARIANTS: dict[str, dict[str, Any]] = {
    "untied": {"tie_word_embeddings": False},
    "usual width": {"n_inner": None},
    "scores by layer": {"scale_attn_by_inverse_layer_idx": True, "reorder_and_upcast_attn": True},
    "scores as they are": {"scale_attn_weights": False},
    "relu": {"activation_function": "relu"},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_equal_transformers(tmp_path: Path, variant: str) -> None:
    assert_equal_logits(tmp_path, tiny_config("gpt2", **VARIANTS[variant]))


def test_the_first_published_files_have_no_prefix_and_store_masks(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, tiny_config("gpt2"))
    tokens = random_tokens(97)
    model = edgegen.author_model(edgegen.open_checkpoint(tmp_path))
    expected = our_logits(model, tokens, [TOKENS])
    file = tmp_path / "model.safetensors"
    older = {k.removeprefix("transformer."): v for k, v in load_file(file).items()}
    for layer in range(2):
        older[f"h.{layer}.attn.bias"] = torch.ones(1, 1, 64, 64).tril()
        older[f"h.{layer}.attn.masked_bias"] = torch.tensor(-1e4)
    older["lm_head.weight"] = older["wte.weight"].clone()
    save_file(older, file)

    found = edgegen.author_model(edgegen.open_checkpoint(tmp_path))

    torch.testing.assert_close(our_logits(found, tokens, [TOKENS]), expected)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"add_cross_attention": True},
            "config.json has add_cross_attention=True, expected False",
        ),
        ({"n_embd": None}, "config.json has no n_embd, which the architecture needs"),
        ({"n_head": 7}, "config.json has n_embd=60, which is not a multiple of n_head=7"),
        ({"n_layer": 0}, "config.json has n_layer=0, expected a whole number from 1 to 1048576"),
        (
            {"rotary_dim": 8},
            "config.json asks for features that edgegen does not author: rotary_dim=8",
        ),
    ],
)
def test_what_is_not_computed_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        architecture("gpt2").read_config(tiny_config("gpt2", **changes))

    assert raised.value.message == message
