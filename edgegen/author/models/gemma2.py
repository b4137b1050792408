"""Gemma 2, ShieldGemma: norms on both sides of each block, every other layer slides."""

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
from edgegen.author.config_reader import ConfigReader
from edgegen.author.decoder import Decoder
from edgegen.author.decoder_layers import SandwichNormLayer
from edgegen.author.layers import Attention, GatedMLP, RMSNorm, layer_masks, make_rope
from edgegen.author.models.gemma import GEMMA_HARMLESS, gemma_norm
from edgegen.author.models.llama import weight_map

__all__ = ["build", "read_config", "tiny_config", "weight_map"]

KIND = "decoder"


@dataclass(frozen=True)
class Gemma2Config(DecoderConfig):
    """HF's `Gemma2Config`.

    Attributes:
        query_pre_attn_scalar: Scores are divided by its square root, not by that of H.
        attn_logit_softcapping: Scores are bent to stay below it.
        final_logit_softcapping: Logits are bent to stay below it.
    """

    attention_bias: bool
    query_pre_attn_scalar: float
    attn_logit_softcapping: float | None
    final_logit_softcapping: float | None


def read_config(raw: Mapping[str, Any]) -> Gemma2Config:
    """Sort every key of a Gemma 2 `config.json`."""
    reader = ConfigReader.of_checkpoint(raw)
    layers = reader.integer("num_hidden_layers")
    layer_types = read_layer_types(
        reader, [FULL_ATTENTION if i % 2 else SLIDING_ATTENTION for i in range(layers)]
    )
    window = read_window(reader, layer_types, 4096)
    if reader.is_set("sliding_window_size"):  # the first 9B and 27B say it twice
        reader.must_be("sliding_window_size", window)
    reader.must_be("use_bidirectional_attention", False)
    config = Gemma2Config(
        **decoder_fields(
            reader,
            "gemma2",
            Assumed(
                hidden_act="gelu_pytorch_tanh",
                act_keys=("hidden_activation",),
                head_dim=256,
                num_key_value_heads=4,
                max_position_embeddings=8192,
                tie_word_embeddings=True,
            ),
            layer_types=layer_types,
            sliding_window=window,
        ),
        attention_bias=reader.flag("attention_bias", False),
        query_pre_attn_scalar=reader.number("query_pre_attn_scalar", 256.0),
        attn_logit_softcapping=read_cap(reader, "attn_logit_softcapping", 50.0),
        final_logit_softcapping=read_cap(reader, "final_logit_softcapping", 30.0),
    )
    reader.finish(
        {**GEMMA_HARMLESS, "hidden_act": "transformers reads hidden_activation, as it is read here"}
    )
    return config


def read_window(reader: ConfigReader, layer_types: tuple[str, ...], default: int) -> int | None:
    """Take `sliding_window`, which is needed where a layer slides; null is no default.

    Raises:
        ConfigError: a layer slides and the window is null.
    """
    if SLIDING_ATTENTION not in layer_types:
        reader.optional_integer("sliding_window")
        return None
    return reader.integer("sliding_window", None if reader.has("sliding_window") else default)


def read_cap(reader: ConfigReader, key: str, default: float) -> float | None:
    """Take a soft cap that is off only where it is null."""
    return reader.optional_number(key) if reader.has(key) else default


def build(config: Gemma2Config) -> Decoder:
    """Make the decoder, as HF's `Gemma2ForCausalLM`."""

    def norm() -> RMSNorm:
        return gemma_norm(config.hidden_size, config.norm_eps)

    def layer(layer_type: str) -> SandwichNormLayer:
        return SandwichNormLayer(
            self_attn=Attention(
                hidden_size=config.hidden_size,
                num_attention_heads=config.num_attention_heads,
                num_key_value_heads=config.num_key_value_heads,
                head_dim=config.head_dim,
                bias=config.attention_bias,
                mask=layer_type,
                rope=layer_type,
                scale=config.query_pre_attn_scalar**-0.5,
                logit_softcapping=config.attn_logit_softcapping,
            ),
            mlp=GatedMLP(
                hidden_size=config.hidden_size,
                intermediate_size=config.intermediate_size,
                hidden_act=config.hidden_act,
            ),
            input_layernorm=norm(),
            post_attention_layernorm=norm(),
            pre_feedforward_layernorm=norm(),
            post_feedforward_layernorm=norm(),
        )

    return Decoder(
        vocab_size=config.vocab_size,
        hidden_size=config.hidden_size,
        layers=[layer(layer_type) for layer_type in config.layer_types],
        norm=norm(),
        ropes={name: make_rope(config.head_dim, p) for name, p in config.rope.items()},
        masks=layer_masks(config.layer_types, config.sliding_window),
        tie_word_embeddings=config.tie_word_embeddings,
        embedding_multiplier=config.hidden_size**0.5,
        final_logit_softcapping=config.final_logit_softcapping,
    )


def tiny_config() -> dict[str, Any]:
    """Return a config with caps low enough to bend, and a window shorter than the tests' texts."""
    return {
        "model_type": "gemma2",
        "vocab_size": 97,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 24,
        "hidden_activation": "gelu_pytorch_tanh",
        "max_position_embeddings": 64,
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0,
        "query_pre_attn_scalar": 20,
        "sliding_window": 9,
        "attn_logit_softcapping": 2.0,
        "final_logit_softcapping": 3.0,
    }
