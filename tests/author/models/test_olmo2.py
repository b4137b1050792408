"""OLMo 2: norms after the blocks, and across heads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.author.parity import assert_equal_logits
from tests.author.published import assert_reads_as_resaved, assert_refused, published
from tests.hf import tiny_config

YARN_ROPE = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}
VARIANTS: dict[str, dict[str, Any]] = {
    "tied": {"tie_word_embeddings": True},
    "multi-head": {"num_key_value_heads": 6},
    "multi-query": {"num_key_value_heads": 1},
    "biases": {"attention_bias": True},
    "rope yarn": {"rope_scaling": YARN_ROPE},
}
PUBLISHED = ["olmo-2-0425-1b", "olmo-2-1124-13b"]


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_equal_transformers(tmp_path: Path, variant: str) -> None:
    assert_equal_logits(tmp_path, tiny_config("olmo2", **VARIANTS[variant]))


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_configs_read_as_transformers_saves_them(name: str) -> None:
    assert_reads_as_resaved(published(name))


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_read_as_transformers_saves_them(variant: str) -> None:
    assert_reads_as_resaved(tiny_config("olmo2", **VARIANTS[variant]))


def test_clipped_queries_of_the_first_olmo_are_refused() -> None:
    assert_refused(
        "olmo2",
        "config.json asks for features that edgegen does not author: clip_qkv=8.0",
        clip_qkv=8.0,
    )
