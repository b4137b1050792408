"""Gemma 1: its spellings of GELU, and what its configs may ask for."""

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
    "multi-head": {"num_key_value_heads": 4},
    "grouped": {"num_key_value_heads": 2},
    "biases": {"attention_bias": True},
    "tanh by name": {"hidden_act": "gelu_pytorch_tanh", "hidden_activation": "gelu_pytorch_tanh"},
    "rope linear": {"rope_scaling": {"rope_type": "linear", "factor": 4.0}},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_equal_transformers(tmp_path: Path, variant: str) -> None:
    assert_equal_logits(tmp_path, tiny_config("gemma", **VARIANTS[variant]))


def test_both_spellings_read_the_same() -> None:
    read = architecture("gemma").read_config
    older = tiny_config("gemma")
    newer = {key: value for key, value in older.items() if key != "rope_theta"} | {
        "hidden_act": "gelu_pytorch_tanh",
        "hidden_activation": None,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
        "tie_word_embeddings": True,
        "use_bidirectional_attention": None,
    }

    assert read(older) == read(newer)


def test_what_it_does_not_compute_is_refused() -> None:
    read = architecture("gemma").read_config
    with pytest.raises(ConfigError, match="hidden_activation='gelu', expected 'gelu_pytorch_tanh'"):
        read(tiny_config("gemma", hidden_activation="gelu"))
    with pytest.raises(ConfigError, match="use_bidirectional_attention=True, expected False"):
        read(tiny_config("gemma", use_bidirectional_attention=True))
