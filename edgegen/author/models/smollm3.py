"""SmolLM 3: Llama in which every fourth layer has no rotary embedding."""

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
from edgegen.errors import ConfigError

__all__ = ["build", "read_config", "tiny_config", "weight_map"]

KIND = "decoder"

_HARMLESS = {
    **HARMLESS,
    "max_window_layers": "HF's class does not read it: the layers without rotation slide",
}


@dataclass(frozen=True)
class SmolLM3Config(DecoderConfig):
    """HF's `SmolLM3Config`.

    Attributes:
        rotates: For each layer whether it has a rotary embedding (`no_rope_layers`, in which
            1 says that it has).
    """

    attention_bias: bool
    mlp_bias: bool
    rotates: tuple[bool, ...]


def read_config(raw: Mapping[str, Any]) -> SmolLM3Config:
    """Sort every key of a SmolLM 3 `config.json`."""
    reader = ConfigReader.of_checkpoint(raw)
    rotates = _read_rotates(reader)
    window = reader.optional_integer("sliding_window")
    slides = reader.flag("use_sliding_window", False) and window is not None
    layer_types = read_layer_types(
        reader,
        [FULL_ATTENTION if rotated or not slides else SLIDING_ATTENTION for rotated in rotates],
    )
    config = SmolLM3Config(
        **decoder_fields(
            reader,
            "smollm3",
            Assumed(
                rope_theta=2000000.0,
                num_key_value_heads=4,
                max_position_embeddings=32768,
                tie_word_embeddings=True,
            ),
            layer_types=layer_types,
            sliding_window=window if SLIDING_ATTENTION in layer_types else None,
        ),
        attention_bias=reader.flag("attention_bias", False),
        mlp_bias=reader.flag("mlp_bias", False),
        rotates=rotates,
    )
    reader.finish(_HARMLESS)
    return config


def _read_rotates(reader: ConfigReader) -> tuple[bool, ...]:
    layers = reader.integer("num_hidden_layers")
    interval = reader.integer("no_rope_layer_interval", 4)
    usual = [int((index + 1) % interval != 0) for index in range(layers)]
    rotates = reader.integers("no_rope_layers", usual, most=1)
    if len(rotates) < layers:
        raise ConfigError(
            f"config.json has {len(rotates)} no_rope_layers for num_hidden_layers={layers}",
            "it takes one for each layer: 1 for a layer that rotates, 0 for one that does not",
        )
    return tuple(map(bool, rotates[:layers]))


def build(config: SmolLM3Config) -> Decoder:
    """Make the decoder, as HF's `SmolLM3ForCausalLM`."""

    def norm() -> RMSNorm:
        return RMSNorm(size=config.hidden_size, eps=config.norm_eps)

    def layer(layer_type: str, rotates: bool) -> PreNormLayer:
        return PreNormLayer(
            self_attn=Attention(
                hidden_size=config.hidden_size,
                num_attention_heads=config.num_attention_heads,
                num_key_value_heads=config.num_key_value_heads,
                head_dim=config.head_dim,
                bias=config.attention_bias,
                mask=layer_type,
                rope=layer_type if rotates else None,
            ),
            mlp=GatedMLP(
                hidden_size=config.hidden_size,
                intermediate_size=config.intermediate_size,
                hidden_act=config.hidden_act,
                bias=config.mlp_bias,
            ),
            input_layernorm=norm(),
            post_attention_layernorm=norm(),
        )

    kinds = list(zip(config.layer_types, config.rotates, strict=True))
    return Decoder(
        vocab_size=config.vocab_size,
        hidden_size=config.hidden_size,
        layers=[layer(layer_type, rotates) for layer_type, rotates in kinds],
        norm=norm(),
        ropes={
            name: make_rope(config.head_dim, parameters)
            for name, parameters in config.rope.items()
            if (name, True) in kinds
        },
        masks=layer_masks(config.layer_types, config.sliding_window),
        tie_word_embeddings=config.tie_word_embeddings,
    )


def tiny_config() -> dict[str, Any]:
    """Return a config whose second layer does not rotate, and slides instead."""
    return {
        "model_type": "smollm3",
        "vocab_size": 97,
        "hidden_size": 60,
        "intermediate_size": 88,
        "num_hidden_layers": 3,
        "num_attention_heads": 6,
        "num_key_value_heads": 3,
        "head_dim": 12,
        "max_position_embeddings": 64,
        "rms_norm_eps": 1e-6,
        "rope_theta": 5000000.0,
        "no_rope_layer_interval": 2,
        "use_sliding_window": True,
        "sliding_window": 9,
        "pad_token_id": 1,
        "tie_word_embeddings": True,
    }
