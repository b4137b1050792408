"""SmolLM 3: which layers rotate, and which slide."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.author.parity import assert_equal_logits
from tests.author.published import assert_reads_as_resaved, assert_refused, published, read
from tests.hf import tiny_config

YARN_ROPE = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}
VARIANTS: dict[str, dict[str, Any]] = {
    "untied": {"tie_word_embeddings": False},
    "multi-head": {"num_key_value_heads": 6},
    "multi-query": {"num_key_value_heads": 1},
    "biases": {"attention_bias": True, "mlp_bias": True},
    "no window": {"use_sliding_window": False},
    "listed": {"no_rope_layers": [0, 1, 0]},
    "no layer rotates": {"no_rope_layers": [0, 0, 0]},
    "every layer rotates": {"no_rope_layers": [1, 1, 1]},
    "layer_types": {"layer_types": ["sliding_attention", "full_attention", "sliding_attention"]},
    "rope yarn": {"rope_scaling": YARN_ROPE},
}
PUBLISHED = ["smollm3-3b"]


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_equal_transformers(tmp_path: Path, variant: str) -> None:
    assert_equal_logits(tmp_path, tiny_config("smollm3", **VARIANTS[variant]))


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_configs_read_as_transformers_saves_them(name: str) -> None:
    assert_reads_as_resaved(published(name))


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_read_as_transformers_saves_them(variant: str) -> None:
    assert_reads_as_resaved(tiny_config("smollm3", **VARIANTS[variant]))


def test_which_layers_rotate_and_slide() -> None:
    found = read(tiny_config("smollm3"))

    assert found.rotates == (True, False, True)
    assert found.layer_types == ("full_attention", "sliding_attention", "full_attention")
    assert sum(read(published("smollm3-3b")).rotates) == 27


def test_too_few_no_rope_layers_are_refused() -> None:
    assert_refused(
        "smollm3",
        "config.json has 2 no_rope_layers for num_hidden_layers=3",
        no_rope_layers=[1, 0],
    )


def test_no_rope_layers_are_zeros_and_ones() -> None:
    assert_refused(
        "smollm3",
        "config.json has no_rope_layers=[1, 2, 1], expected a list of whole numbers from 0 to 1",
        no_rope_layers=[1, 2, 1],
    )
