"""Phi-1, 1.5 and 2: what their configs may ask for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgegen.author.models import architecture
from edgegen.errors import ConfigError
from tests.author.parity import assert_equal_logits
from tests.hf import tiny_config

VARIANTS: dict[str, dict[str, Any]] = {
    "tied": {"tie_word_embeddings": True},
    "multi-head": {"num_key_value_heads": None},
    "multi-query": {"num_key_value_heads": 1},
    "norms on queries and keys": {"qk_layernorm": True},
    "rotary part by default": {"partial_rotary_factor": 0.5},
    "whole heads turn": {"partial_rotary_factor": 1.0},
    "rope linear": {"rope_scaling": {"rope_type": "linear", "factor": 4.0}},
    "relu": {"hidden_act": "relu"},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_equal_transformers(tmp_path: Path, variant: str) -> None:
    assert_equal_logits(tmp_path, tiny_config("phi", **VARIANTS[variant]))


def test_both_spellings_of_the_rotary_part_and_silence_read_the_same() -> None:
    older = tiny_config("phi", partial_rotary_factor=0.5)
    gone = ("rope_theta", "partial_rotary_factor")
    silent = {k: v for k, v in older.items() if k not in gone}
    section = {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5}
    read = architecture("phi").read_config

    assert read({**silent, "rope_parameters": section}) == read(older)
    assert read(silent) == read(older)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"rotary_dim": 32},
            "config.json asks for features that edgegen does not author: rotary_dim=32",
        ),
        (
            {"partial_rotary_factor": 0.6},
            "config.json has head_dim=12 and partial_rotary_factor=0.6, expected an even number "
            "of rotated channels",
        ),
    ],
)
def test_what_is_not_computed_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        architecture("phi").read_config(tiny_config("phi", **changes))

    assert raised.value.message == message
