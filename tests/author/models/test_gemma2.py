"""Gemma 2: caps, windows, and what its configs may ask for."""

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
    "no caps": {"attn_logit_softcapping": None, "final_logit_softcapping": None},
    "layers in another order": {"layer_types": [FULL, FULL, SLIDING]},
    "no layer slides": {"layer_types": [FULL] * 3},
    "rope linear": {"rope_scaling": {"rope_type": "linear", "factor": 4.0}},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_equal_transformers(tmp_path: Path, variant: str) -> None:
    assert_equal_logits(tmp_path, tiny_config("gemma2", **VARIANTS[variant]))


def test_both_spellings_read_the_same() -> None:
    read = architecture("gemma2").read_config
    older = tiny_config(
        "gemma2",
        sliding_window_size=9,
        hidden_act="gelu_pytorch_tanh",
        cache_implementation="hybrid",
    )
    newer = {key: value for key, value in tiny_config("gemma2").items() if key != "rope_theta"} | {
        "layer_types": [SLIDING, FULL, SLIDING],
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
        "tie_word_embeddings": True,
        "use_bidirectional_attention": None,
    }

    assert read(older) == read(newer)


def test_caps_are_on_where_the_config_is_silent_and_off_where_it_is_null() -> None:
    read = architecture("gemma2").read_config
    keys = ("attn_logit_softcapping", "final_logit_softcapping")
    silent = {key: value for key, value in tiny_config("gemma2").items() if key not in keys}

    assert [getattr(read(silent), key) for key in keys] == [50.0, 30.0]
    assert [getattr(read(silent | dict.fromkeys(keys)), key) for key in keys] == [None, None]


def test_what_it_does_not_compute_is_refused() -> None:
    read = architecture("gemma2").read_config
    with pytest.raises(ConfigError, match="use_bidirectional_attention=True, expected False"):
        read(tiny_config("gemma2", use_bidirectional_attention=True))
    with pytest.raises(ConfigError, match="sliding_window_size=8, expected 9"):
        read(tiny_config("gemma2", sliding_window_size=8))
    with pytest.raises(ConfigError, match="has no sliding_window, which the architecture needs"):
        read(tiny_config("gemma2", sliding_window=None))
