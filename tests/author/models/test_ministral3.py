"""Ministral 3: YaRN, and queries that grow past the trained length."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from edgegen.author.models import architecture
from tests.author.parity import assert_equal_logits
from tests.author.published import assert_reads_as_resaved, assert_refused, published, read
from tests.hf import tiny_config

ROPE = {
    "rope_type": "yarn",
    "rope_theta": 1000000.0,
    "factor": 4.0,
    "original_max_position_embeddings": 16,
    "llama_4_scaling_beta": 0.1,
}
VARIANTS: dict[str, dict[str, Any]] = {
    "tied": {"tie_word_embeddings": True},
    "multi-query": {"num_key_value_heads": 1},
    "window": {"sliding_window": 9},
    "strong growth": {"rope_parameters": {**ROPE, "llama_4_scaling_beta": 2.0}},
    "no growth": {"rope_parameters": {**ROPE, "llama_4_scaling_beta": 0.0}},
    # 30 / 10 and the like must not be rounded below a whole number.
    "an odd length": {"rope_parameters": {**ROPE, "original_max_position_embeddings": 10}},
    "longer than the cache": {"rope_parameters": {**ROPE, "original_max_position_embeddings": 128}},
    "the rope of transformers": {"rope_parameters": None},
}
PUBLISHED = ["ministral-3-3b-text"]


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_equal_transformers(tmp_path: Path, variant: str) -> None:
    assert_equal_logits(tmp_path, tiny_config("ministral3", **VARIANTS[variant]))


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_configs_read_as_transformers_saves_them(name: str) -> None:
    assert_reads_as_resaved(published(name))


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_read_as_transformers_saves_them(variant: str) -> None:
    assert_reads_as_resaved(tiny_config("ministral3", **VARIANTS[variant]))


def test_a_cache_within_the_trained_length_has_no_scale() -> None:
    decoder = architecture("ministral3").build(read(tiny_config("ministral3")))
    tokens, positions = torch.zeros(1, 3).int(), torch.arange(3).int()

    assert decoder.prepare(tokens, positions, 16)[1].extras == {}
    assert decoder.prepare(tokens, positions, 17)[1].extras.keys() == {"query_scale"}


def test_growth_must_be_said() -> None:
    rope = {k: v for k, v in ROPE.items() if k != "llama_4_scaling_beta"}
    assert_refused(
        "ministral3",
        "config.json has no llama_4_scaling_beta, which the architecture needs",
        rope_parameters=rope,
    )


def test_another_rope_is_refused() -> None:
    assert_refused(
        "ministral3",
        "config.json has rope_type='linear', expected 'yarn'",
        rope_parameters={**ROPE, "rope_type": "linear"},
    )


def test_layer_types_are_refused() -> None:
    """HF's class does not read them, and lets all layers slide or none."""
    kinds = ["full_attention"] * 2
    assert_refused(
        "ministral3",
        f"config.json asks for features that edgegen does not author: layer_types={kinds!r}",
        layer_types=kinds,
    )
