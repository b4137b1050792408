"""Ministral: Mistral whose `layer_types` say which layers slide."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.author.parity import assert_equal_logits
from tests.author.published import assert_reads_as_resaved, assert_refused
from tests.hf import tiny_config

VARIANTS: dict[str, dict[str, Any]] = {
    "tied": {"tie_word_embeddings": True},
    "multi-query": {"num_key_value_heads": 1},
    "no layer_types": {"layer_types": None},
    "all full": {"layer_types": ["full_attention"] * 3},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_equal_transformers(tmp_path: Path, variant: str) -> None:
    assert_equal_logits(tmp_path, tiny_config("ministral", **VARIANTS[variant]))


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_read_as_transformers_saves_them(variant: str) -> None:
    assert_reads_as_resaved(tiny_config("ministral", **VARIANTS[variant]))


def test_another_kind_of_layer_is_refused() -> None:
    kinds = ["full_attention", "chunked_attention", "full_attention"]
    assert_refused(
        "ministral",
        f"config.json has layer_types={kinds!r}, expected a list of full_attention, "
        "sliding_attention",
        layer_types=kinds,
    )
