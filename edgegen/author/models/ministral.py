"""Ministral 8B as transformers 5 saves it: Mistral whose `layer_types` say which layers slide."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgegen.author.config import FULL_ATTENTION, SLIDING_ATTENTION, DecoderConfig
from edgegen.author.models import mistral
from edgegen.author.models.llama import weight_map
from edgegen.author.models.mistral import build

__all__ = ["build", "read_config", "tiny_config", "weight_map"]

KIND = "decoder"


def read_config(raw: Mapping[str, Any]) -> DecoderConfig:
    """Sort every key of a Ministral `config.json`."""
    return mistral.read_with_window(raw, "ministral")


def tiny_config() -> dict[str, Any]:
    """Return a config with both kinds of layers, and a window shorter than the tests' texts."""
    return {
        **mistral.tiny_config(),
        "model_type": "ministral",
        "num_hidden_layers": 3,
        "layer_types": [SLIDING_ATTENTION, FULL_ATTENTION, SLIDING_ATTENTION],
    }
