"""Granite: multipliers."""

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
    "multi-head": {"num_key_value_heads": 6},
    "multi-query": {"num_key_value_heads": 1},
    "biases": {"attention_bias": True, "mlp_bias": True},
    "whole numbers": {"embedding_multiplier": 12, "logits_scaling": 8},
    # 1 and not H ** -0.5 is the multiplier of scores that HF assumes.
    "no multipliers": {
        "embedding_multiplier": 1.0,
        "attention_multiplier": 1.0,
        "residual_multiplier": 1.0,
        "logits_scaling": 1.0,
    },
    "rope yarn": {"rope_scaling": YARN_ROPE},
}
PUBLISHED = ["granite-3.0-2b-instruct", "granite-3.1-2b-instruct", "granite-3.3-8b-instruct"]


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_equal_transformers(tmp_path: Path, variant: str) -> None:
    assert_equal_logits(tmp_path, tiny_config("granite", **VARIANTS[variant]))


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_configs_read_as_transformers_saves_them(name: str) -> None:
    assert_reads_as_resaved(published(name))


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_read_as_transformers_saves_them(variant: str) -> None:
    assert_reads_as_resaved(tiny_config("granite", **VARIANTS[variant]))


def test_the_multipliers_that_transformers_assumes_are_1() -> None:
    multipliers = ("embedding_multiplier", "attention_multiplier", "residual_multiplier")
    config = tiny_config("granite")
    for key in (*multipliers, "logits_scaling"):
        del config[key]

    found = assert_reads_as_resaved(config)

    assert [getattr(found, key) for key in (*multipliers, "logits_scaling")] == [1.0] * 4


def test_logits_cannot_be_divided_by_zero() -> None:
    assert_refused(
        "granite",
        "config.json has logits_scaling=0, expected a positive number of ordinary size",
        logits_scaling=0,
    )


def test_experts_are_refused() -> None:
    assert_refused(
        "granite",
        "config.json asks for features that edgegen does not author: num_local_experts=32",
        num_local_experts=32,
    )
