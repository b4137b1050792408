"""Gemma 3n E2B and E4B: the text part of the models that also see and hear."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgegen.author.models import gemma3n_text
from edgegen.author.models.gemma3n_text import Gemma3nConfig, build
from edgegen.author.text_part import read_text_config, under_language_model
from edgegen.author.weights import WeightMap

__all__ = ["build", "read_config", "tiny_config", "weight_map"]

KIND = "decoder"

# HF's `Gemma3nTextConfig`; the rest is in gemma3n_text.py.
_DEFAULTS = {
    "vocab_size": 262400,
    "hidden_size": 2048,
    "num_hidden_layers": 35,
    "num_attention_heads": 8,
}


def read_config(raw: Mapping[str, Any]) -> Gemma3nConfig:
    """Sort every key of a Gemma 3n `config.json` and of its `text_config`."""
    return gemma3n_text.read_config(read_text_config(raw, _DEFAULTS))


def weight_map(config: Gemma3nConfig) -> WeightMap:
    """Names are those of `gemma3n_text`, under `language_model.`."""
    return under_language_model(
        gemma3n_text.weight_map(config),
        ("vision_tower", "audio_tower", "embed_vision", "embed_audio"),
    )


def tiny_config() -> dict[str, Any]:
    """Return a config of all parts; the other two are not read."""
    return {
        "model_type": "gemma3n",
        "text_config": gemma3n_text.tiny_config(),
        "vision_config": {"model_type": "gemma3n_vision"},
        "audio_config": {"model_type": "gemma3n_audio"},
    }
