"""EXAONE 4: which layers slide and rotate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.author.parity import assert_equal_logits
from tests.author.published import assert_reads_as_resaved, assert_refused, published, read
from tests.hf import tiny_config

LLAMA3_ROPE = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
VARIANTS: dict[str, dict[str, Any]] = {
    "untied": {"tie_word_embeddings": False},
    "multi-head": {"num_key_value_heads": 4},
    "multi-query": {"num_key_value_heads": 1},
    "no window": {"sliding_window": None, "layer_types": ["full_attention"] * 3},
    "layer_types": {"layer_types": ["full_attention", "sliding_attention", "full_attention"]},
    # A pattern in letters says nothing beside layer_types.
    "letters": {
        "sliding_window_pattern": "LLG",
        "layer_types": ["sliding_attention", "sliding_attention", "full_attention"],
    },
    "rope llama3": {"rope_scaling": LLAMA3_ROPE},
    "no layer slides": {"layer_types": ["full_attention"] * 3},
}
PUBLISHED = ["exaone-4.0-1.2b"]


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_equal_transformers(tmp_path: Path, variant: str) -> None:
    assert_equal_logits(tmp_path, tiny_config("exaone4", **VARIANTS[variant]))


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_configs_read_as_transformers_saves_them(name: str) -> None:
    assert_reads_as_resaved(published(name))


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_read_as_transformers_saves_them(variant: str) -> None:
    assert_reads_as_resaved(tiny_config("exaone4", **VARIANTS[variant]))


def test_without_a_window_all_layers_rotate() -> None:
    assert read(published("exaone-4.0-1.2b")).rotating == ("full_attention",)
    assert read(tiny_config("exaone4")).rotating == ("sliding_attention",)


def test_the_window_of_transformers_where_the_config_says_none() -> None:
    config = tiny_config("exaone4", num_hidden_layers=4)
    del config["sliding_window"], config["sliding_window_pattern"]

    found = assert_reads_as_resaved(config)

    assert found.sliding_window == 4096
    assert found.layer_types == (*["sliding_attention"] * 3, "full_attention")


def test_a_pattern_in_letters_needs_layer_types() -> None:
    assert_refused(
        "exaone4",
        "config.json has sliding_window_pattern='LLLG', expected a whole number from 1 to 1048576",
        sliding_window_pattern="LLLG",
    )
