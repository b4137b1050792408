"""Llama and its relatives: what their configs may ask for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.author.parity import assert_equal_logits
from tests.hf import tiny_config

LLAMA3_ROPE = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
YARN_ROPE = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}
LONGROPE = {
    "rope_type": "longrope",
    "factor": 4.0,
    "short_factor": [1.0 + 0.1 * i for i in range(16)],
    "long_factor": [2.0 + 0.5 * i for i in range(16)],
    "original_max_position_embeddings": 16,
}
VARIANTS: dict[str, dict[str, Any]] = {
    "untied": {"tie_word_embeddings": False},
    "multi-head": {"num_key_value_heads": 6},
    "multi-query": {"num_key_value_heads": 1},
    "biases": {"attention_bias": True, "mlp_bias": True},
    "gelu": {"hidden_act": "gelu_pytorch_tanh"},
    "relu2": {"hidden_act": "relu2"},
    "rope theta": {"rope_theta": 500000.0},
    "rope linear": {"rope_scaling": {"rope_type": "linear", "factor": 4.0}},
    "rope llama3": {"rope_scaling": LLAMA3_ROPE},
    # These change past the trained length, which the text of 40 tokens passes.
    "rope dynamic": {
        "rope_scaling": {"rope_type": "dynamic", "factor": 2.0},
        "max_position_embeddings": 16,
    },
    "rope yarn": {"rope_scaling": YARN_ROPE},
    "rope yarn, mscale": {"rope_scaling": {**YARN_ROPE, "mscale": 0.7, "mscale_all_dim": 1.3}},
    "rope yarn, not truncated": {"rope_scaling": {**YARN_ROPE, "truncate": False}},
    "rope longrope": {"rope_scaling": LONGROPE},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_equal_transformers(tmp_path: Path, variant: str) -> None:
    assert_equal_logits(tmp_path, tiny_config("llama", **VARIANTS[variant]))
