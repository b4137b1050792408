"""Gemma 3 without vision: its two rotations in both spellings, windows, and refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgegen.author.models import architecture
from edgegen.errors import ConfigError
from tests.author.parity import assert_equal_logits
from tests.hf import tiny_config

FULL, SLIDING = "full_attention", "sliding_attention"
VARIANTS: dict[str, dict[str, Any]] = {
    "untied": {"tie_word_embeddings": False},
    "multi-head": {"num_key_value_heads": 4},
    "multi-query": {"num_key_value_heads": 1},
    "biases": {"attention_bias": True},
    "capped": {"final_logit_softcapping": 3.0},
    "rope not scaled": {"rope_scaling": None},
    "rope of the defaults": {"rope_theta": None, "rope_local_base_freq": None},
    "layers in another order": {"layer_types": [FULL, SLIDING, SLIDING]},
    "every layer slides": {"sliding_window_pattern": 6},
    "no layer slides": {"sliding_window_pattern": 1},
    "newer spelling": {
        "rope_theta": None,
        "rope_local_base_freq": None,
        "rope_scaling": None,
        "rope_parameters": {
            FULL: {"rope_type": "linear", "factor": 4.0, "rope_theta": 500000.0},
            SLIDING: {"rope_type": "default", "rope_theta": 5000.0},
        },
    },
}


def changed(variant: str) -> dict[str, Any]:
    values = tiny_config("gemma3_text", **VARIANTS[variant])
    return {key: value for key, value in values.items() if value is not None}


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_equal_transformers(tmp_path: Path, variant: str) -> None:
    assert_equal_logits(tmp_path, changed(variant))


def test_both_spellings_read_the_same() -> None:
    read = architecture("gemma3_text").read_config
    older = tiny_config("gemma3_text", cache_implementation="hybrid", attn_logit_softcapping=None)
    left_out = ("rope_theta", "rope_local_base_freq", "rope_scaling", "sliding_window_pattern")
    newer = {key: value for key, value in older.items() if key not in left_out} | {
        "_sliding_window_pattern": 3,
        "layer_types": [SLIDING, SLIDING, FULL],
        "rope_parameters": {
            FULL: {"rope_type": "linear", "factor": 8.0, "rope_theta": 1000000.0},
            SLIDING: {"rope_type": "default", "rope_theta": 10000.0},
        },
        "tie_word_embeddings": True,
        "use_bidirectional_attention": False,
    }

    assert read(older) == read(newer)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"use_bidirectional_attention": True}, "use_bidirectional_attention=True, expected False"),
        ({"attn_logit_softcapping": 50.0}, "does not author: attn_logit_softcapping=50.0"),
        ({"rope_scaling": 8.0}, "rope_scaling=8.0, expected an object"),
        ({"rope_parameters": {FULL: 1}}, "full_attention=1, expected an object"),
        ({"sliding_window": None}, "has no sliding_window, which the architecture needs"),
        # transformers takes no notice of the older name of rope_type here.
        (
            {"rope_scaling": {"type": "linear", "factor": 8.0}},
            "rope_parameters in config.json asks for features .* does not author: factor=8.0",
        ),
        (
            {"rope_parameters": {"rope_type": "default", "rope_theta": 1e6}},
            "rope_parameters in config.json asks for .* rope_theta=1000000.0, rope_type='default'",
        ),
    ],
)
def test_what_it_does_not_compute_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        architecture("gemma3_text").read_config(tiny_config("gemma3_text", **changes))
