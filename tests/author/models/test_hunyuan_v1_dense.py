"""Hunyuan: norms after the rotation, and a stretched rotary base."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.author.parity import assert_equal_logits
from tests.author.published import assert_reads_as_resaved, assert_refused, published, read
from tests.hf import tiny_config

ROPE = {"type": "dynamic", "alpha": 50.0, "factor": 1.0, "beta_fast": 32, "mscale": 1.0}
VARIANTS: dict[str, dict[str, Any]] = {
    "untied": {"tie_word_embeddings": False},
    "multi-head": {"num_key_value_heads": 6},
    "multi-query": {"num_key_value_heads": 1},
    "biases": {"attention_bias": True},
    "rope default": {"rope_scaling": None},
    "rope alpha": {"rope_scaling": ROPE, "rope_theta": 20000.0},
    # With alpha neither length nor factor has a part.
    "rope alpha, past the trained length": {
        "rope_scaling": {**ROPE, "factor": 3.0},
        "max_position_embeddings": 16,
    },
    "rope dynamic": {
        "rope_scaling": {"rope_type": "dynamic", "factor": 2.0},
        "max_position_embeddings": 16,
    },
}
PUBLISHED = ["hunyuan-0.5b-instruct", "hunyuan-1.8b-instruct", "hy-mt2-7b"]


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_equal_transformers(tmp_path: Path, variant: str) -> None:
    assert_equal_logits(tmp_path, tiny_config("hunyuan_v1_dense", **VARIANTS[variant]))


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_configs_read_as_transformers_saves_them(name: str) -> None:
    assert_reads_as_resaved(published(name))


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_read_as_transformers_saves_them(variant: str) -> None:
    assert_reads_as_resaved(tiny_config("hunyuan_v1_dense", **VARIANTS[variant]))


def test_alpha_stretches_the_base() -> None:
    rope = read(published("hunyuan-0.5b-instruct")).rope["full_attention"]

    assert rope.rope_type == "default"
    assert rope.rope_theta == pytest.approx(10000.0 * 1000.0 ** (128 / 126))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"use_qk_norm": False}, "use_qk_norm=False, expected True"),
        ({"use_cla": True}, "use_cla=True, expected False"),
        ({"mlp_bias": True}, "mlp_bias=True, expected False"),
        ({"norm_type": "layer"}, "norm_type='layer', expected 'rms'"),
        ({"attention_head_dim": 32}, "attention_head_dim=32, expected 24"),
        ({"add_classification_head": True}, "add_classification_head=True, expected False"),
        ({"rope_scaling": {**ROPE, "type": "yarn"}}, "type='yarn', expected 'dynamic'"),
    ],
)
def test_other_values_are_refused(changes: dict[str, Any], message: str) -> None:
    assert_refused("hunyuan_v1_dense", f"config.json has {message}", **changes)


def test_unknown_keys_beside_alpha_are_refused() -> None:
    assert_refused(
        "hunyuan_v1_dense",
        "rope_parameters in config.json asks for features that edgegen does not author: spiral=2.0",
        rope_scaling={**ROPE, "spiral": 2.0},
    )
