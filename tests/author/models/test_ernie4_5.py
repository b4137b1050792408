"""ERNIE 4.5: rotary embeddings that pair neighbours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.author.parity import assert_equal_logits
from tests.author.published import assert_reads_as_resaved, assert_refused, published
from tests.hf import tiny_config

YARN_ROPE = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}
VARIANTS: dict[str, dict[str, Any]] = {
    "untied": {"tie_word_embeddings": False},
    "no biases": {"use_bias": False},
    "multi-head": {"num_key_value_heads": 6},
    "multi-query": {"num_key_value_heads": 1},
    "rope yarn": {"rope_scaling": YARN_ROPE},
}
PUBLISHED = ["ernie-4.5-0.3b"]


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_equal_transformers(tmp_path: Path, variant: str) -> None:
    assert_equal_logits(tmp_path, tiny_config("ernie4_5", **VARIANTS[variant]))


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_configs_read_as_transformers_saves_them(name: str) -> None:
    assert_reads_as_resaved(published(name))


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_read_as_transformers_saves_them(variant: str) -> None:
    assert_reads_as_resaved(tiny_config("ernie4_5", **VARIANTS[variant]))


def test_code_of_another_name_is_refused() -> None:
    assert_refused(
        "ernie4_5",
        "config.json has an auto_map: the checkpoint brings its own modelling code",
        auto_map={"AutoModelForCausalLM": "modeling_mine.MyForCausalLM"},
    )


def test_experts_are_refused() -> None:
    assert_refused(
        "ernie4_5",
        "config.json asks for features that edgegen does not author: moe_num_experts=64",
        moe_num_experts=64,
    )
