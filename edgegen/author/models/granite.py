"""Granite 3: Llama with multipliers on embeddings, scores, residuals and logits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgegen.author.config import DecoderConfig, decoder_fields
from edgegen.author.config_reader import HARMLESS, ConfigReader
from edgegen.author.decoder import Decoder
from edgegen.author.decoder_layers import PreNormLayer
from edgegen.author.layers import Attention, GatedMLP, RMSNorm, make_rope
from edgegen.author.models.llama import weight_map

__all__ = ["build", "read_config", "tiny_config", "weight_map"]

KIND = "decoder"


@dataclass(frozen=True)
class GraniteConfig(DecoderConfig):
    """HF's `GraniteConfig`.

    Attributes:
        attention_multiplier: Multiplies the scores, in place of `H ** -0.5`.
        logits_scaling: Divides the logits.
    """

    attention_bias: bool
    mlp_bias: bool
    embedding_multiplier: float
    attention_multiplier: float
    residual_multiplier: float
    logits_scaling: float


def read_config(raw: Mapping[str, Any]) -> GraniteConfig:
    """Sort every key of a Granite `config.json`."""
    reader = ConfigReader.of_checkpoint(raw)
    config = GraniteConfig(
        **decoder_fields(reader, "granite"),
        attention_bias=reader.flag("attention_bias", False),
        mlp_bias=reader.flag("mlp_bias", False),
        embedding_multiplier=reader.number("embedding_multiplier", 1.0),
        attention_multiplier=reader.number("attention_multiplier", 1.0),
        residual_multiplier=reader.number("residual_multiplier", 1.0),
        logits_scaling=reader.number("logits_scaling", 1.0),
    )
    reader.finish(HARMLESS)
    return config


def build(config: GraniteConfig) -> Decoder:
    """Make the decoder, as HF's `GraniteForCausalLM`."""

    def norm() -> RMSNorm:
        return RMSNorm(size=config.hidden_size, eps=config.norm_eps)

    def layer() -> PreNormLayer:
        return PreNormLayer(
            self_attn=Attention(
                hidden_size=config.hidden_size,
                num_attention_heads=config.num_attention_heads,
                num_key_value_heads=config.num_key_value_heads,
                head_dim=config.head_dim,
                bias=config.attention_bias,
                scale=config.attention_multiplier,
            ),
            mlp=GatedMLP(
                hidden_size=config.hidden_size,
                intermediate_size=config.intermediate_size,
                hidden_act=config.hidden_act,
                bias=config.mlp_bias,
            ),
            input_layernorm=norm(),
            post_attention_layernorm=norm(),
            residual_multiplier=config.residual_multiplier,
        )

    return Decoder(
        vocab_size=config.vocab_size,
        hidden_size=config.hidden_size,
        layers=[layer() for _ in range(config.num_hidden_layers)],
        norm=norm(),
        ropes={name: make_rope(config.head_dim, p) for name, p in config.rope.items()},
        tie_word_embeddings=config.tie_word_embeddings,
        embedding_multiplier=config.embedding_multiplier,
        logit_multiplier=1.0 / config.logits_scaling,
    )


def tiny_config() -> dict[str, Any]:
    """Return a config whose four multipliers all differ from those of Llama."""
    return {
        "model_type": "granite",
        "vocab_size": 97,
        "hidden_size": 64,
        "intermediate_size": 104,
        "num_hidden_layers": 2,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
        "head_dim": 24,
        "max_position_embeddings": 64,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "embedding_multiplier": 12.0,
        "attention_multiplier": 0.125,
        "residual_multiplier": 0.22,
        "logits_scaling": 3.0,
        "tie_word_embeddings": True,
    }
