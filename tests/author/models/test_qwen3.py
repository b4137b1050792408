"""Qwen 3: norms on queries and keys, and a window on the upper layers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.author.parity import assert_equal_logits
from tests.author.published import assert_reads_as_resaved, assert_refused, published, read
from tests.hf import tiny_config

YARN_ROPE = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}
VARIANTS: dict[str, dict[str, Any]] = {
    "multi-head": {"num_key_value_heads": 4},
    "multi-query": {"num_key_value_heads": 1},
    "biases": {"attention_bias": True},
    "untied": {"tie_word_embeddings": False},
    "no window": {"use_sliding_window": False},
    "all layers slide": {"max_window_layers": 0},
    "layer_types": {"layer_types": ["sliding_attention", "full_attention", "sliding_attention"]},
    "rope yarn": {"rope_scaling": YARN_ROPE},
}
PUBLISHED = ["qwen3-0.6b", "qwen3-1.7b", "qwen3-1.7b-resaved", "qwen3-14b"]


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_equal_transformers(tmp_path: Path, variant: str) -> None:
    assert_equal_logits(tmp_path, tiny_config("qwen3", **VARIANTS[variant]))


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_configs_read_as_transformers_saves_them(name: str) -> None:
    assert_reads_as_resaved(published(name))


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_read_as_transformers_saves_them(variant: str) -> None:
    assert_reads_as_resaved(tiny_config("qwen3", **VARIANTS[variant]))


def test_the_window_is_used_only_where_it_is_asked_for() -> None:
    asked = read(tiny_config("qwen3"))
    full, sliding = "full_attention", "sliding_attention"

    assert (asked.layer_types, asked.sliding_window) == ((full, full, sliding), 9)
    not_asked = read(tiny_config("qwen3", use_sliding_window=False))
    assert (not_asked.layer_types, not_asked.sliding_window) == ((full,) * 3, None)


def test_without_the_key_the_window_is_that_of_transformers() -> None:
    config = tiny_config("qwen3")
    del config["sliding_window"]

    assert assert_reads_as_resaved(config).sliding_window == 4096


def test_layers_that_slide_need_a_window() -> None:
    assert_refused(
        "qwen3",
        "config.json has layers of type sliding_attention, but no sliding_window in use",
        use_sliding_window=False,
        layer_types=["sliding_attention"] * 3,
    )


def test_keys_of_other_architectures_are_refused() -> None:
    assert_refused(
        "qwen3",
        "config.json asks for features that edgegen does not author: num_experts=128",
        num_experts=128,
    )
