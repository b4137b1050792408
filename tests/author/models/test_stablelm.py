"""StableLM 3B and StableLM 2: what their configs may ask for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgegen.author.models import architecture
from edgegen.errors import ConfigError
from tests.author.parity import assert_equal_logits
from tests.hf import tiny_config

VARIANTS: dict[str, dict[str, Any]] = {
    "StableLM 3B": {"use_qkv_bias": False, "qk_layernorm": False, "num_key_value_heads": 6},
    "StableLM 2 1.6B": {"qk_layernorm": False, "num_key_value_heads": 6},
    "StableLM 2 12B": {"use_qkv_bias": False, "use_parallel_residual": True},
    "tied": {"tie_word_embeddings": True},
    "multi-query": {"num_key_value_heads": 1},
    "gelu": {"hidden_act": "gelu"},
    "half of each head turns": {"partial_rotary_factor": 0.5},
    "rope dynamic": {
        "rope_scaling": {"rope_type": "dynamic", "factor": 2.0},
        "max_position_embeddings": 16,
    },
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_equal_transformers(tmp_path: Path, variant: str) -> None:
    assert_equal_logits(tmp_path, tiny_config("stablelm", **VARIANTS[variant]))


def test_both_spellings_of_the_rotary_part_and_silence_read_the_same() -> None:
    older = tiny_config("stablelm")
    gone = ("rope_theta", "partial_rotary_factor")
    silent = {k: v for k, v in older.items() if k not in gone}
    section = {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.25}
    read = architecture("stablelm").read_config

    assert read({**silent, "rope_parameters": section}) == read(older)
    assert read(silent) == read(older)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"rope_pct": 0.25, "norm_eps": 1e-5},
            "config.json asks for features that edgegen does not author: "
            "norm_eps=1e-05, rope_pct=0.25",
        ),
        ({"qk_layernorm": "yes"}, "config.json has qk_layernorm='yes', expected true or false"),
    ],
)
def test_what_is_not_computed_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        architecture("stablelm").read_config(tiny_config("stablelm", **changes))

    assert raised.value.message == message
