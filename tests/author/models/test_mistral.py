"""Mistral: a window on all layers, on some, on none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.author.parity import assert_equal_logits
from tests.author.published import assert_reads_as_resaved, assert_refused, published, read
from tests.hf import tiny_config

YARN_ROPE = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}
VARIANTS: dict[str, dict[str, Any]] = {
    "tied": {"tie_word_embeddings": True},
    "multi-head": {"num_key_value_heads": 6},
    "multi-query": {"num_key_value_heads": 1},
    "head_dim of hidden": {"num_attention_heads": 4, "head_dim": None},
    "no window": {"sliding_window": None},
    "a window longer than the text": {"sliding_window": 48},
    "a window longer than the cache": {"sliding_window": 4096},
    "rope theta": {"rope_theta": 100000000.0},
    "rope yarn": {"rope_scaling": YARN_ROPE},
    "gelu": {"hidden_act": "gelu"},
}
PUBLISHED = [
    "mistral-7b-v0.1",
    "mistral-7b-v0.3",
    "mistral-7b-instruct-v0.3-all-keys",
    "ministral-8b-instruct-2410",
]


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_equal_transformers(tmp_path: Path, variant: str) -> None:
    assert_equal_logits(tmp_path, tiny_config("mistral", **VARIANTS[variant]))


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_configs_read_as_transformers_saves_them(name: str) -> None:
    assert_reads_as_resaved(published(name))


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_read_as_transformers_saves_them(variant: str) -> None:
    assert_reads_as_resaved(tiny_config("mistral", **VARIANTS[variant]))


def test_the_windows_of_published_models() -> None:
    assert read(published("mistral-7b-v0.1")).sliding_window == 4096
    assert read(published("mistral-7b-v0.3")).sliding_window is None
    assert read(published("ministral-8b-instruct-2410")).sliding_window == 32768


def test_without_the_key_the_window_is_that_of_transformers() -> None:
    config = tiny_config("mistral")
    del config["sliding_window"]

    assert assert_reads_as_resaved(config).sliding_window == 4096


def test_layer_types_say_which_layers_slide() -> None:
    """Transformers reads a mistral config that has them as ministral."""
    kinds = ["full_attention", "sliding_attention"]
    found = read(tiny_config("mistral", layer_types=kinds))
    as_ministral = read(tiny_config("ministral", num_hidden_layers=2, layer_types=kinds))

    assert found.layer_types == tuple(kinds)
    assert (found.sliding_window, found.rope) == (as_ministral.sliding_window, as_ministral.rope)


def test_keys_of_other_architectures_are_refused() -> None:
    assert_refused(
        "mistral",
        "config.json asks for features that edgegen does not author: attention_bias=True, "
        "num_experts=8",
        attention_bias=True,
        num_experts=8,
    )


@pytest.mark.parametrize(
    ("key", "value"), [("pruned_heads", {"0": [1]}), ("is_encoder_decoder", True)]
)
def test_defaults_of_older_configs_are_refused_at_other_values(key: str, value: Any) -> None:
    assert_refused(
        "mistral",
        f"config.json asks for features that edgegen does not author: {key}={value!r}",
        **{key: value},
    )


def test_layers_that_slide_need_a_window() -> None:
    assert_refused(
        "mistral",
        "config.json has layers of type sliding_attention, but no sliding_window in use",
        sliding_window=None,
        layer_types=["sliding_attention"] * 2,
    )
