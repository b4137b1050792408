"""Gemma 3n: its blocks in their variants, shared caches, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import edgegen
from edgegen.author.models import architecture
from edgegen.author.reference import reference_logits
from edgegen.errors import ConfigError
from tests.author.parity import TOKENS, assert_equal_logits, our_logits, random_tokens
from tests.hf import save_checkpoint, tiny_config

FULL, SLIDING = "full_attention", "sliding_attention"
VARIANTS: dict[str, dict[str, Any]] = {
    "untied": {"tie_word_embeddings": False},
    "multi-query, biases": {"num_key_value_heads": 1, "attention_bias": True},
    "no cache is shared": {"num_kv_shared_layers": 0},
    "most caches are shared": {"num_kv_shared_layers": 3},
    "another version is active": {"altup_active_idx": 1},
    "no scale": {"altup_correct_scale": False},
    "two versions": {"altup_num_inputs": 2},
    "dense, capped by default": {
        "activation_sparsity_pattern": None,
        "final_logit_softcapping": 30.0,
    },
    "one size": {"intermediate_size": 96, "vocab_size_per_layer_input": 101},
    "rope linear": {"rope_scaling": {"rope_type": "linear", "factor": 4.0}},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_equal_transformers(tmp_path: Path, variant: str) -> None:
    config = tiny_config("gemma3n_text", **VARIANTS[variant])
    assert_equal_logits(tmp_path, config, calls=["one go", "chunks"])


def test_layers_that_share_have_no_cache(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, tiny_config("gemma3n_text"))
    module: Any = edgegen.author_model(edgegen.open_checkpoint(tmp_path)).module

    assert module.cache_layers == (0, 1, 2, 2, 1)
    inputs = module.sample_inputs("decode", 1, 64)
    assert sorted(name for name in inputs if name.startswith("kv_cache_k")) == [
        "kv_cache_k_0",
        "kv_cache_k_1",
        "kv_cache_k_2",
    ]


def test_keys_of_layers_that_share_are_dropped(tmp_path: Path) -> None:
    """Published checkpoints hold them."""
    save_checkpoint(tmp_path, tiny_config("gemma3n_text"))
    stored = load_file(tmp_path / "model.safetensors")
    more = {
        f"model.layers.4.self_attn.{name}.weight": torch.zeros(3)
        for name in ("k_proj", "v_proj", "k_norm")
    }
    save_file({**stored, **more}, tmp_path / "model.safetensors")

    assert edgegen.author_model(edgegen.open_checkpoint(tmp_path)).sources


def test_tokens_past_the_table_are_the_same_in_the_streamed_reference(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, tiny_config("gemma3n_text"))
    model = edgegen.author_model(edgegen.open_checkpoint(tmp_path))
    tokens = random_tokens(101)
    tokens[0, 3:6] = torch.tensor([97, 100, 0])

    found = reference_logits(model, tokens[0].tolist())

    torch.testing.assert_close(found, our_logits(model, tokens, [TOKENS])[0], atol=1e-4, rtol=1e-4)


def test_both_spellings_read_the_same() -> None:
    read = architecture("gemma3n_text").read_config
    older = tiny_config("gemma3n_text", altup_lr_multiplier=1.0, query_pre_attn_scalar=256)
    left_out = ("rope_theta", "rope_local_base_freq")
    newer = {key: value for key, value in older.items() if key not in left_out} | {
        "rope_parameters": {
            FULL: {"rope_type": "default", "rope_theta": 1000000.0},
            SLIDING: {"rope_type": "default", "rope_theta": 10000.0},
        },
        "tie_word_embeddings": True,
    }

    assert read(older) == read(newer)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"attn_logit_softcapping": 50.0}, "does not author: attn_logit_softcapping=50.0"),
        ({"num_kv_shared_layers": 4}, "num_kv_shared_layers=4 of 5 layers, which leaves no layer"),
        ({"num_kv_shared_layers": 9}, "num_kv_shared_layers=9 of 5 layers, which leaves no layer"),
        ({"altup_active_idx": 3}, "altup_active_idx=3, expected one of altup_num_inputs=3"),
        ({"activation_sparsity_pattern": [1.0] * 5}, "expected shares below 1"),
        ({"activation_sparsity_pattern": [0.5] * 4}, "a list of 5 numbers, not of 4"),
        ({"activation_sparsity_pattern": [-0.5] * 5}, "expected a list of numbers from 0"),
        ({"intermediate_size": [96] * 4}, "a list of 5 numbers, not of 4"),
    ],
)
def test_what_it_does_not_compute_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        architecture("gemma3n_text").read_config(tiny_config("gemma3n_text", **changes))
