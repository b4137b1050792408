"""EXAONE 4: norms after the blocks; where layers slide, only those have a rotary embedding."""

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
from edgegen.author.decoder_layers import PostNormLayer
from edgegen.author.layers import Attention, GatedMLP, RMSNorm, layer_masks, make_rope
from edgegen.author.models.llama import weight_map

__all__ = ["build", "read_config", "tiny_config", "weight_map"]

KIND = "decoder"


@dataclass(frozen=True)
class Exaone4Config(DecoderConfig):
    """HF's `Exaone4Config`.

    Attributes:
        rotating: The layer types that have a rotary embedding.
    """

    rotating: tuple[str, ...]


def read_config(raw: Mapping[str, Any]) -> Exaone4Config:
    """Sort every key of an EXAONE 4 `config.json`."""
    reader = ConfigReader.of_checkpoint(raw)
    window = reader.optional_integer("sliding_window")
    if not reader.has("sliding_window"):
        window = 4096
    layer_types = _read_sliding_layers(reader, window)
    config = Exaone4Config(
        **decoder_fields(
            reader,
            "exaone4",
            Assumed(norm_eps=1e-5, num_key_value_heads=32),
            layer_types=layer_types,
            sliding_window=window if SLIDING_ATTENTION in layer_types else None,
        ),
        rotating=(SLIDING_ATTENTION,) if window else (FULL_ATTENTION,),
    )
    reader.finish({**HARMLESS, "sliding_window_pattern": "layer_types says which layers slide"})
    return config


def _read_sliding_layers(reader: ConfigReader, window: int | None) -> tuple[str, ...]:
    """Take `layer_types`, or else `sliding_window_pattern`: each n-th layer sees all."""
    layers = reader.integer("num_hidden_layers")
    if reader.is_set("layer_types") or window is None:
        return read_layer_types(reader, [FULL_ATTENTION] * layers)
    pattern = reader.integer("sliding_window_pattern", 4)
    return tuple(
        SLIDING_ATTENTION if (index + 1) % pattern else FULL_ATTENTION for index in range(layers)
    )


def build(config: Exaone4Config) -> Decoder:
    """Make the decoder, as HF's `Exaone4ForCausalLM`."""

    def norm(size: int) -> RMSNorm:
        return RMSNorm(size=size, eps=config.norm_eps)

    def layer(layer_type: str) -> PostNormLayer:
        return PostNormLayer(
            self_attn=Attention(
                hidden_size=config.hidden_size,
                num_attention_heads=config.num_attention_heads,
                num_key_value_heads=config.num_key_value_heads,
                head_dim=config.head_dim,
                mask=layer_type,
                rope=layer_type if layer_type in config.rotating else None,
                q_norm=norm(config.head_dim),
                k_norm=norm(config.head_dim),
            ),
            mlp=GatedMLP(
                hidden_size=config.hidden_size,
                intermediate_size=config.intermediate_size,
                hidden_act=config.hidden_act,
            ),
            post_attention_layernorm=norm(config.hidden_size),
            post_feedforward_layernorm=norm(config.hidden_size),
        )

    return Decoder(
        vocab_size=config.vocab_size,
        hidden_size=config.hidden_size,
        layers=[layer(layer_type) for layer_type in config.layer_types],
        norm=norm(config.hidden_size),
        ropes={
            name: make_rope(config.head_dim, parameters)
            for name, parameters in config.rope.items()
            if name in config.rotating
        },
        masks=layer_masks(config.layer_types, config.sliding_window),
        tie_word_embeddings=config.tie_word_embeddings,
    )


def tiny_config() -> dict[str, Any]:
    """Return a config whose second layer sees all and does not rotate."""
    return {
        "model_type": "exaone4",
        "vocab_size": 97,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 24,
        "max_position_embeddings": 64,
        "rms_norm_eps": 1e-5,
        "rope_theta": 1000000.0,
        "sliding_window": 9,
        "sliding_window_pattern": 2,
        "tie_word_embeddings": True,
    }
