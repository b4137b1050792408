"""LFM2: what its configs may ask for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgegen.author.models import architecture
from edgegen.errors import ConfigError
from tests.author.parity import assert_equal_logits
from tests.hf import tiny_config

VARIANTS: dict[str, dict[str, Any]] = {
    "untied": {"tie_word_embeddings": False},
    "multi-head": {"num_key_value_heads": 6},
    "multi-query": {"num_key_value_heads": 1},
    "biases": {"conv_bias": True},
    "longer convolution": {"conv_L_cache": 5},
    "width as stated": {"block_auto_adjust_ff_dim": False},
    "attention everywhere": {"layer_types": None},
    "attention by index": {"layer_types": None, "full_attn_idxs": [0, 2]},
    "rope linear": {"rope_scaling": {"rope_type": "linear", "factor": 4.0}},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_equal_transformers(tmp_path: Path, variant: str) -> None:
    assert_equal_logits(tmp_path, tiny_config("lfm2", **VARIANTS[variant]))


def test_a_convolution_crosses_the_calls_of_a_padded_prompt() -> None:
    """`test_padding_rows_of_a_short_chunk_do_not_show` is for nothing without such a layer."""
    assert "conv" in tiny_config("lfm2")["layer_types"]


def test_older_keys_read_the_same() -> None:
    newer = tiny_config("lfm2", tie_word_embeddings=False)
    older = {
        **{k: v for k, v in newer.items() if k not in ("layer_types", "tie_word_embeddings")},
        "block_dim": 72,
        "block_ff_dim": 150,
        "block_norm_eps": 1e-5,
        "block_use_swiglu": True,
        "conv_dim": 72,
        "conv_dim_out": 72,
        "full_attn_idxs": [1],
        "intermediate_size": 96,
        "num_heads": 6,
        "tie_embedding": False,
        "use_pos_enc": True,
    }
    read = architecture("lfm2").read_config

    assert read(older) == read(newer)


def test_the_published_width() -> None:
    """LFM2-1.2B states 12288 and has 8192."""
    config = tiny_config(
        "lfm2", intermediate_size=12288, block_multiple_of=256, block_ffn_dim_multiplier=1.0
    )

    assert architecture("lfm2").read_config(config).intermediate_size == 8192


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"conv_dim": 64}, "config.json has conv_dim=64, expected 72"),
        ({"use_pos_enc": False}, "config.json has use_pos_enc=False, expected True"),
        ({"hidden_act": "gelu"}, "config.json has hidden_act='gelu', expected 'silu'"),
        (
            {"layer_types": ["conv", "sliding_attention", "conv"]},
            "config.json has layer_types=['conv', 'sliding_attention', 'conv'], expected a list "
            "of conv, full_attention",
        ),
        (
            {"layer_types": ["conv"] * 3},
            "config.json has layer_types without full_attention, expected at least one such layer",
        ),
    ],
)
def test_what_is_not_computed_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        architecture("lfm2").read_config(tiny_config("lfm2", **changes))

    assert raised.value.message == message
