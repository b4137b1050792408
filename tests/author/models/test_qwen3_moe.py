"""Qwen 3 mixture of experts: which layers have experts, and how they are stored."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

import edgegen
from edgegen.errors import WeightsError
from tests.author.parity import assert_equal_logits
from tests.author.published import assert_reads_as_resaved, assert_refused, published, read
from tests.hf import save_checkpoint, tiny_config

VARIANTS: dict[str, dict[str, Any]] = {
    "tied": {"tie_word_embeddings": True},
    "shares not normalized": {"norm_topk_prob": False},
    "one expert a token": {"num_experts_per_tok": 1},
    "all experts": {"num_experts_per_tok": 5},
    "all layers sparse": {"mlp_only_layers": []},
    "every second layer sparse": {"mlp_only_layers": [], "decoder_sparse_step": 2},
    "no layer sparse": {"mlp_only_layers": [0, 1, 2]},
    "biases": {"attention_bias": True},
    "multi-query": {"num_key_value_heads": 1},
    "window on all layers": {"use_sliding_window": True, "sliding_window": 9},
}
PUBLISHED = ["qwen3-30b-a3b"]


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_equal_transformers(tmp_path: Path, variant: str) -> None:
    assert_equal_logits(tmp_path, tiny_config("qwen3_moe", **VARIANTS[variant]))


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_configs_read_as_transformers_saves_them(name: str) -> None:
    assert_reads_as_resaved(published(name))


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_read_as_transformers_saves_them(variant: str) -> None:
    assert_reads_as_resaved(tiny_config("qwen3_moe", **VARIANTS[variant]))


def test_which_layers_have_experts() -> None:
    assert read(tiny_config("qwen3_moe")).is_sparse == (True, False, True)
    every_second = read(tiny_config("qwen3_moe", mlp_only_layers=[], decoder_sparse_step=2))
    assert every_second.is_sparse == (False, True, False)


def test_experts_under_either_name() -> None:
    """Transformers 5 writes num_local_experts; the default is that of neither."""
    config = tiny_config("qwen3_moe")
    experts = config.pop("num_experts")

    assert read({**config, "num_local_experts": experts}) == read(tiny_config("qwen3_moe"))


def test_two_numbers_of_experts_are_refused() -> None:
    assert_refused(
        "qwen3_moe",
        "config.json asks for features that edgegen does not author: num_experts=5",
        num_local_experts=6,
    )


def test_more_experts_a_token_than_there_are_is_refused() -> None:
    assert_refused(
        "qwen3_moe",
        "config.json has num_experts_per_tok=6, but only 5 experts",
        num_experts_per_tok=6,
    )


def test_a_missing_expert_is_named(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, tiny_config("qwen3_moe"))
    checkpoint = edgegen.open_checkpoint(tmp_path)
    missing = "model.layers.2.mlp.experts.3.down_proj.weight"
    tensors = {k: v for k, v in checkpoint.tensors.items() if k != missing}

    with pytest.raises(WeightsError) as raised:
        edgegen.author_model(dataclasses.replace(checkpoint, tensors=tensors))

    assert "missing  layers.2.mlp.down_proj.weight" in raised.value.message
