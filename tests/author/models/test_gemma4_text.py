"""Gemma 4: its two kinds of heads, scales and shared caches, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import edgegen
from edgegen.author.models import architecture
from edgegen.errors import ConfigError
from tests.author.parity import TOKENS, assert_equal_logits, our_logits, random_tokens, their_logits
from tests.hf import random_hf_model, tiny_config

FULL, SLIDING = "full_attention", "sliding_attention"
# What transformers 5 writes instead of the two keys of the full layers.
BY_LAYER = {str(i): {"head_dim": 40, "num_key_value_heads": 1} for i in (1, 4)}
VARIANTS: dict[str, dict[str, Any]] = {
    "untied": {"tie_word_embeddings": False},
    "biases": {"attention_bias": True},
    "values of their own": {"attention_k_eq_v": False},
    "as many heads everywhere": {"num_global_key_value_heads": None},
    "no cache is shared": {"num_kv_shared_layers": 0},
    "not wide": {"use_double_wide_mlp": False},
    "no per-layer inputs": {"hidden_size_per_layer_input": 0, "num_kv_shared_layers": 0},
    "larger table, not capped": {
        "vocab_size_per_layer_input": 120,
        "final_logit_softcapping": None,
    },
    "vision is bidirectional": {"use_bidirectional_attention": "vision"},
    "rope of the defaults": {"rope_parameters": None},
    "the last layer is made full": {"layer_types": [SLIDING, FULL, SLIDING, FULL, SLIDING]},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_equal_transformers(tmp_path: Path, variant: str) -> None:
    config = tiny_config("gemma4_text", **VARIANTS[variant])
    assert_equal_logits(tmp_path, config, calls=["one go", "chunks"])


def test_the_scales_of_layers_equal_transformers(tmp_path: Path) -> None:
    """They are buffers, which random checkpoints leave at 1."""
    theirs: Any = random_hf_model(tiny_config("gemma4_text"))
    for index, layer in enumerate(theirs.model.layers):
        layer.layer_scalar.fill_(0.5 + 0.3 * index)
    theirs.save_pretrained(tmp_path)
    ours = edgegen.author_model(edgegen.open_checkpoint(tmp_path))
    tokens = random_tokens(97)

    expected = their_logits(theirs, tokens, [TOKENS])

    torch.testing.assert_close(our_logits(ours, tokens, [TOKENS]), expected, atol=1e-4, rtol=1e-4)


def test_full_layers_have_other_caches(tmp_path: Path) -> None:
    config = architecture("gemma4_text").read_config(tiny_config("gemma4_text"))
    module: Any = architecture("gemma4_text").build(config)

    shapes = [tuple(cache.values()) for cache in module.cache_shapes(64)]
    sliding, full = ((1, 2, 64, 24), (1, 2, 24, 64)), ((1, 1, 64, 40), (1, 1, 40, 64))
    assert shapes == [sliding, full, sliding, (), ()]


def test_both_spellings_read_the_same() -> None:
    read = architecture("gemma4_text").read_config
    older = tiny_config("gemma4_text")
    left_out = ("global_head_dim", "num_global_key_value_heads")
    newer = {key: value for key, value in older.items() if key not in left_out} | {
        "per_layer_config": BY_LAYER,
        "tie_word_embeddings": True,
    }

    assert read(older) == read(newer)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"enable_moe_block": True}, "enable_moe_block=True, expected False"),
        ({"use_bidirectional_attention": "all"}, "use_bidirectional_attention='all', expected"),
        ({"num_kv_shared_layers": 4}, "num_kv_shared_layers=4 of 5 layers, which leaves no layer"),
        ({"num_global_key_value_heads": 3}, "not a multiple of the 3 KV heads of the full layers"),
        ({"vocab_size_per_layer_input": 96}, "per_layer_input=96, expected at least vocab_size=97"),
        (
            {"per_layer_config": {"1": BY_LAYER["1"]}},
            "per_layer_config in which full layers differ",
        ),
        (
            {"per_layer_config": {**BY_LAYER, "0": {"head_dim": 8}}},
            "per_layer_config in config.json asks for features",
        ),
        (
            {"per_layer_config": {"1": {"sliding_window": 3}, "4": {}}},
            "per_layer_config 1 in config.json asks for features .*: sliding_window=3",
        ),
        (
            {
                "rope_parameters": {
                    FULL: {"rope_type": "default", "partial_rotary_factor": 0.5},
                    SLIDING: {"rope_type": "default"},
                }
            },
            "partial_rotary_factor=0.5 for full_attention with rope_type='default'",
        ),
    ],
)
def test_what_it_does_not_compute_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        architecture("gemma4_text").read_config(tiny_config("gemma4_text", **changes))
