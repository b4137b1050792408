"""Phi-3 and its relatives: what their configs may ask for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgegen.author.models import architecture
from edgegen.errors import ConfigError
from tests.author.parity import assert_equal_logits
from tests.hf import tiny_config

VARIANTS: dict[str, dict[str, Any]] = {
    "Phi-4-mini": {"tie_word_embeddings": True, "sliding_window": 262144},
    "no window": {"sliding_window": None},
    "plain rope": {"rope_scaling": None, "partial_rotary_factor": 1.0},
    "multi-head": {"num_key_value_heads": 6},
    "multi-query": {"num_key_value_heads": 1},
    "short context only": {"original_max_position_embeddings": 48},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_equal_transformers(tmp_path: Path, variant: str) -> None:
    assert_equal_logits(tmp_path, tiny_config("phi3", **VARIANTS[variant]))


def test_the_section_of_transformers_5_reads_the_same() -> None:
    older = tiny_config("phi3")
    newer = {k: v for k, v in older.items() if k not in ("rope_theta", "partial_rotary_factor")}
    newer["rope_scaling"] = None
    newer["rope_parameters"] = {
        **older["rope_scaling"],
        "rope_type": "longrope",
        "rope_theta": 10000.0,
        "partial_rotary_factor": 0.75,
        "original_max_position_embeddings": 32,
    }
    read = architecture("phi3").read_config

    assert read(newer) == read(older)


def test_the_older_name_of_longrope_reads_the_same() -> None:
    """The first Phi-3 files have it, though transformers 5.23 fails on it."""
    newer = tiny_config("phi3")
    older = {**newer, "rope_scaling": {**newer["rope_scaling"], "type": "su"}}
    read = architecture("phi3").read_config

    assert read(older) == read(newer)


def test_transformers_own_class_in_an_auto_map_is_no_foreign_code() -> None:
    read = architecture("phi3").read_config
    names = {"AutoConfig": "configuration_phi3.Phi3Config", "AutoTokenizer": "Xenova/gpt-4o"}
    model = {"AutoModelForCausalLM": "modeling_phi3.Phi3ForCausalLM"}

    assert read(tiny_config("phi3", auto_map={**names, **model})) == read(tiny_config("phi3"))
    with pytest.raises(ConfigError, match="brings its own modelling code"):
        read(tiny_config("phi3", auto_map={**names, "AutoModelForCausalLM": "modeling.Mine"}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"attention_bias": True}, "config.json has attention_bias=True, expected False"),
        ({"lm_head_bias": True}, "config.json has lm_head_bias=True, expected False"),
        ({"full_attn_mod": 2}, "config.json has full_attn_mod=2, expected 1"),
        (
            {"rope_scaling": {"rope_type": "yarn", "factor": 2.0}},
            "config.json has rope_type='yarn', expected default or longrope",
        ),
        (
            {"blocksparse_block_size": 64},
            "config.json asks for features that edgegen does not author: blocksparse_block_size=64",
        ),
    ],
)
def test_what_is_not_computed_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        architecture("phi3").read_config(tiny_config("phi3", **changes))

    assert raised.value.message == message
