"""Qwen 3: Llama with norms on queries and keys, and a window on the upper layers if asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgegen.author.config import (
    FULL_ATTENTION,
    SLIDING_ATTENTION,
    Assumed,
    DecoderConfig,
    decoder_fields,
    read_layer_types,
)
from edgegen.author.config_reader import HARMLESS, ConfigReader
from edgegen.author.decoder import Decoder
from edgegen.author.decoder_layers import PreNormLayer
from edgegen.author.layers import Attention, GatedMLP, RMSNorm, layer_masks, make_rope
from edgegen.author.models.llama import weight_map

__all__ = ["build", "read_config", "tiny_config", "weight_map"]

KIND = "decoder"


@dataclass(frozen=True)
class Qwen3Config(DecoderConfig):
    """HF's `Qwen3Config`."""

    attention_bias: bool


def read_config(raw: Mapping[str, Any]) -> Qwen3Config:
    """Sort every key of a Qwen 3 `config.json`."""
    reader = ConfigReader.of_checkpoint(raw)
    layer_types, sliding_window = read_upper_window(reader)
    config = Qwen3Config(
        **decoder_fields(
            reader,
            "qwen3",
            Assumed(head_dim=128, num_key_value_heads=32, max_position_embeddings=32768),
            layer_types=layer_types,
            sliding_window=sliding_window,
        ),
        attention_bias=reader.flag("attention_bias", False),
    )
    reader.finish(HARMLESS)
    return config


def read_upper_window(reader: ConfigReader) -> tuple[tuple[str, ...], int | None]:
    """Take the keys with which Qwen lets the layers from `max_window_layers` on slide."""
    layers = reader.integer("num_hidden_layers")
    slides = reader.flag("use_sliding_window", False)
    window = reader.optional_integer("sliding_window")
    if not reader.has("sliding_window"):
        window = 4096
    first = reader.integer("max_window_layers", 28, least=0)
    sliding_window = window if slides else None
    default = [
        SLIDING_ATTENTION if sliding_window and index >= first else FULL_ATTENTION
        for index in range(layers)
    ]
    layer_types = read_layer_types(reader, default)
    return layer_types, sliding_window if SLIDING_ATTENTION in layer_types else None


def build(config: Qwen3Config) -> Decoder:
    """Make the decoder, as HF's `Qwen3ForCausalLM`."""

    def norm(size: int) -> RMSNorm:
        return RMSNorm(size=size, eps=config.norm_eps)

    def layer(layer_type: str) -> PreNormLayer:
        return PreNormLayer(
            self_attn=Attention(
                hidden_size=config.hidden_size,
                num_attention_heads=config.num_attention_heads,
                num_key_value_heads=config.num_key_value_heads,
                head_dim=config.head_dim,
                bias=config.attention_bias,
                mask=layer_type,
                rope=layer_type,
                q_norm=norm(config.head_dim),
                k_norm=norm(config.head_dim),
            ),
            mlp=GatedMLP(
                hidden_size=config.hidden_size,
                intermediate_size=config.intermediate_size,
                hidden_act=config.hidden_act,
            ),
            input_layernorm=norm(config.hidden_size),
            post_attention_layernorm=norm(config.hidden_size),
        )

    return Decoder(
        vocab_size=config.vocab_size,
        hidden_size=config.hidden_size,
        layers=[layer(layer_type) for layer_type in config.layer_types],
        norm=norm(config.hidden_size),
        ropes={name: make_rope(config.head_dim, p) for name, p in config.rope.items()},
        masks=layer_masks(config.layer_types, config.sliding_window),
        tie_word_embeddings=config.tie_word_embeddings,
    )


def tiny_config() -> dict[str, Any]:
    """Return a config whose last layer slides, with a window shorter than the tests' texts."""
    return {
        "model_type": "qwen3",
        "vocab_size": 97,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 24,
        "max_position_embeddings": 64,
        "rms_norm_eps": 1e-6,
        "rope_theta": 1000000.0,
        "use_sliding_window": True,
        "sliding_window": 9,
        "max_window_layers": 2,
        "tie_word_embeddings": True,
    }
