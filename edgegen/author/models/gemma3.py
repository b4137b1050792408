"""Gemma 3 4B, 12B and 27B, MedGemma: the text part of the models that also see images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgegen.author.config_reader import ConfigReader
from edgegen.author.models import gemma3_text
from edgegen.author.models.gemma3_text import (
    Gemma3Config,
    build,
    read_text,
    with_two_rotations,
)
from edgegen.author.text_part import read_text_config, under_language_model
from edgegen.author.weights import WeightMap
from edgegen.errors import ConfigError

__all__ = ["build", "read_config", "tiny_config", "weight_map"]

KIND = "decoder"

# HF's `Gemma3TextConfig`; the rest is in `read_text`.
_DEFAULTS = {
    "vocab_size": 262208,
    "hidden_size": 2304,
    "intermediate_size": 9216,
    "num_hidden_layers": 26,
    "num_attention_heads": 8,
}


def read_config(raw: Mapping[str, Any]) -> Gemma3Config:
    """Sort every key of a Gemma 3 `config.json` and of its `text_config`."""
    reader = ConfigReader.of_checkpoint(with_two_rotations(read_text_config(raw, _DEFAULTS)))
    reader.must_be("use_bidirectional_attention", False)
    config = read_text(reader)
    if config.final_logit_softcapping is not None:
        # HF's `Gemma3ForConditionalGeneration` ignores it, `Gemma3ForCausalLM` does not.
        raise ConfigError(
            f"config.json has final_logit_softcapping={config.final_logit_softcapping:g} in "
            "text_config, expected null",
            "transformers bends no logits of a Gemma 3 with vision: take the key out",
        )
    return config


def weight_map(config: Gemma3Config) -> WeightMap:
    """Names are those of `gemma3_text`, under `language_model.`."""
    return under_language_model(
        gemma3_text.weight_map(config), ("vision_tower", "multi_modal_projector")
    )


def tiny_config() -> dict[str, Any]:
    """Return a config of both parts, in the published spelling."""
    return {
        "model_type": "gemma3",
        "boi_token_index": 88,
        "eoi_token_index": 89,
        "image_token_index": 90,
        "mm_tokens_per_image": 4,
        "text_config": {**gemma3_text.tiny_config(), "vocab_size": 101},
        "vision_config": {
            "model_type": "siglip_vision_model",
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "image_size": 28,
            "patch_size": 14,
            "vision_use_head": False,
        },
    }
