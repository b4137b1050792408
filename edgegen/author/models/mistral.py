"""Mistral 7B, Nemo, Small and Ministral 8B: Llama with a window on all layers or on some."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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

# HF's default, which a config.json that leaves the key out has; null says no window.
_SLIDING_WINDOW = 4096


def read_config(raw: Mapping[str, Any]) -> DecoderConfig:
    """Sort every key of a Mistral `config.json`.

    With `layer_types` it is what HF reads as Ministral: some layers slide, others do not.
    """
    return read_with_window(raw, "mistral")


def read_with_window(raw: Mapping[str, Any], model_type: str) -> DecoderConfig:
    """Sort every key of a `config.json` whose layers all slide, if it does not say otherwise."""
    reader = ConfigReader.of_checkpoint(raw)
    layers = reader.integer("num_hidden_layers")
    window = reader.optional_integer("sliding_window")
    if not reader.has("sliding_window"):
        window = _SLIDING_WINDOW
    usual = FULL_ATTENTION if window is None else SLIDING_ATTENTION
    layer_types = read_layer_types(reader, [usual] * layers)
    config = DecoderConfig(
        **decoder_fields(
            reader,
            model_type,
            Assumed(num_key_value_heads=8, max_position_embeddings=131072),
            layer_types=layer_types,
            sliding_window=window if SLIDING_ATTENTION in layer_types else None,
        )
    )
    reader.finish(HARMLESS)
    return config


def build(
    config: DecoderConfig,
    decoder: Callable[..., Decoder] = Decoder,
    attention: Callable[..., Attention] = Attention,
) -> Decoder:
    """Make the decoder, as HF's `MistralForCausalLM` and `MinistralForCausalLM`.

    Args:
        config: As `read_config` returns it.
        decoder: What to make of the layers, for relatives.
        attention: What to make the layers of, for relatives.
    """

    def norm() -> RMSNorm:
        return RMSNorm(size=config.hidden_size, eps=config.norm_eps)

    def layer(layer_type: str) -> PreNormLayer:
        return PreNormLayer(
            self_attn=attention(
                hidden_size=config.hidden_size,
                num_attention_heads=config.num_attention_heads,
                num_key_value_heads=config.num_key_value_heads,
                head_dim=config.head_dim,
                mask=layer_type,
                rope=layer_type,
            ),
            mlp=GatedMLP(
                hidden_size=config.hidden_size,
                intermediate_size=config.intermediate_size,
                hidden_act=config.hidden_act,
            ),
            input_layernorm=norm(),
            post_attention_layernorm=norm(),
        )

    return decoder(
        vocab_size=config.vocab_size,
        hidden_size=config.hidden_size,
        layers=[layer(layer_type) for layer_type in config.layer_types],
        norm=norm(),
        ropes={name: make_rope(config.head_dim, p) for name, p in config.rope.items()},
        masks=layer_masks(config.layer_types, config.sliding_window),
        tie_word_embeddings=config.tie_word_embeddings,
    )


def tiny_config() -> dict[str, Any]:
    """Return a config whose window is shorter than the tests' texts."""
    return {
        "model_type": "mistral",
        "vocab_size": 97,
        "hidden_size": 64,
        "intermediate_size": 112,
        "num_hidden_layers": 2,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
        "head_dim": 24,
        "max_position_embeddings": 64,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "sliding_window": 9,
        "tie_word_embeddings": False,
    }
