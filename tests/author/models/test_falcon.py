"""Falcon: what its configs may ask for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers.models.falcon.modeling_falcon import build_alibi_tensor

from edgegen.author.layers import alibi_slopes
from edgegen.author.models import architecture
from edgegen.author.models.falcon import RoundedAlibiMask
from edgegen.errors import ConfigError
from tests.author.parity import assert_equal_logits
from tests.hf import tiny_config

FALCON_7B = {"new_decoder_architecture": False, "multi_query": True, "num_kv_heads": 6}
FALCON_RW = {
    "new_decoder_architecture": False,
    "multi_query": False,
    "num_kv_heads": None,
    "parallel_attn": False,
    "alibi": True,
    "bias": True,
}
VARIANTS: dict[str, dict[str, Any]] = {
    "Falcon 7B": FALCON_7B,
    "Falcon 2 11B": {"num_ln_in_parallel_attn": 1, "tie_word_embeddings": False, "ff_factor": 2},
    "Falcon RW 1B": FALCON_RW,
    "untied": {"tie_word_embeddings": False},
    "grouped, multi-head": {"num_kv_heads": None},
    "multi-head": {**FALCON_7B, "multi_query": False},
    "biases": {"bias": True},
    "usual width": {"ffn_hidden_size": None},
    "alibi with grouped queries": {"alibi": True},
    # Slopes that are no powers of two, for which the rounding of the products shows.
    "alibi of sixteen heads": {**FALCON_RW, "num_attention_heads": 16, "hidden_size": 64},
    "relu": {"activation": "relu"},
    "rope dynamic": {
        "rope_scaling": {"rope_type": "dynamic", "factor": 2.0},
        "max_position_embeddings": 16,
    },
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_equal_transformers(tmp_path: Path, variant: str) -> None:
    assert_equal_logits(tmp_path, tiny_config("falcon", **VARIANTS[variant]))


@pytest.mark.parametrize("heads", [4, 6, 16, 32, 71])
def test_alibi_is_rounded_as_in_transformers_far_from_the_start(heads: int) -> None:
    scale, length, last = 0.25, 2048, 2047
    theirs = build_alibi_tensor(torch.ones(1, length, dtype=torch.long), heads, torch.float32)

    mask = RoundedAlibiMask(alibi_slopes(heads), scale)(torch.tensor([last]), length)

    found, expected = mask[0, :, 0], theirs[:, 0] * scale
    torch.testing.assert_close(found - found[:, :1], expected - expected[:, :1])


def test_what_transformers_writes_beside_alibi_reads_the_same() -> None:
    older = tiny_config("falcon", **FALCON_RW)
    del older["rope_theta"]
    section = {"rope_type": "default", "rope_theta": 10000.0}
    read = architecture("falcon").read_config

    assert read({**older, "rope_parameters": section, "num_kv_heads": 6}) == read(older)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"parallel_attn": False}, "config.json has parallel_attn=False, expected True"),
        (
            {**FALCON_7B, "num_ln_in_parallel_attn": 2},
            "config.json has num_ln_in_parallel_attn=2, expected 1",
        ),
        (
            {**FALCON_RW, "num_kv_heads": 2},
            "config.json has num_kv_heads=2, expected 6",
        ),
        (
            {"apply_residual_connection_post_layernorm": True},
            "config.json has apply_residual_connection_post_layernorm=True, expected False",
        ),
        (
            {"hidden_size": 73},
            "config.json has hidden_size=73, which is not a multiple of num_attention_heads=6",
        ),
    ],
)
def test_what_is_not_computed_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        architecture("falcon").read_config(tiny_config("falcon", **changes))

    assert raised.value.message == message
