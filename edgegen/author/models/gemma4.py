"""Gemma 4 E2B, E4B and 31B: the text part of the models that also see and hear."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgegen.author.models import gemma4_text
from edgegen.author.models.gemma4_text import Gemma4Config, build
from edgegen.author.text_part import read_text_config, under_language_model
from edgegen.author.weights import WeightMap

__all__ = ["build", "read_config", "tiny_config", "weight_map"]

KIND = "decoder"

# HF's `Gemma4TextConfig`; the rest is in gemma4_text.py.
_DEFAULTS = {
    "vocab_size": 262144,
    "hidden_size": 2304,
    "intermediate_size": 9216,
    "num_hidden_layers": 30,
    "num_attention_heads": 8,
}


def read_config(raw: Mapping[str, Any]) -> Gemma4Config:
    """Sort every key of a Gemma 4 `config.json` and of its `text_config`."""
    return gemma4_text.read_config(read_text_config(raw, _DEFAULTS))


def weight_map(config: Gemma4Config) -> WeightMap:
    """Names are those of `gemma4_text`, under `language_model.`."""
    return under_language_model(
        gemma4_text.weight_map(config),
        ("vision_tower", "audio_tower", "embed_vision", "embed_audio"),
    )


def tiny_config() -> dict[str, Any]:
    """Return a config of all parts, the other two as small as they can be."""
    return {
        "model_type": "gemma4",
        # None that a text may hold: transformers makes padding of those without an image.
        "image_token_id": 97,
        "video_token_id": 98,
        "audio_token_id": 99,
        "text_config": gemma4_text.tiny_config(),
        "vision_config": {
            "model_type": "gemma4_vision",
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "head_dim": 8,
            "position_embedding_size": 16,
        },
        "audio_config": {
            "model_type": "gemma4_audio",
            "hidden_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "output_proj_dims": 16,
        },
    }
