"""Gemma 1 and 1.1, CodeGemma: Llama with norms around 1, GELU and scaled embeddings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgegen.author.config import Assumed, DecoderConfig, decoder_fields
from edgegen.author.config_reader import HARMLESS, ConfigReader
from edgegen.author.decoder import Decoder
from edgegen.author.decoder_layers import PreNormLayer
from edgegen.author.layers import Attention, GatedMLP, RMSNorm, make_rope
from edgegen.author.models.llama import weight_map

__all__ = ["build", "gemma_norm", "read_config", "tiny_config", "weight_map"]

KIND = "decoder"

# What all generations of Gemma may hold besides.
GEMMA_HARMLESS = {
    **HARMLESS,
    "cache_implementation": "chooses transformers' cache class; the window is `sliding_window`",
}


@dataclass(frozen=True)
class GemmaConfig(DecoderConfig):
    """HF's `GemmaConfig`."""

    attention_bias: bool


def read_config(raw: Mapping[str, Any]) -> GemmaConfig:
    """Sort every key of a Gemma `config.json`."""
    reader = ConfigReader.of_checkpoint(raw)
    fields = decoder_fields(
        reader,
        "gemma",
        Assumed(
            hidden_act="gelu_pytorch_tanh",
            head_dim=256,
            num_key_value_heads=16,
            max_position_embeddings=8192,
            tie_word_embeddings=True,
        ),
    )
    if fields["hidden_act"] == "gelu":
        # What the first releases say; transformers takes it for the approximation, with which
        # the models were trained.
        fields["hidden_act"] = "gelu_pytorch_tanh"
    # The key that was meant to put that right, and that transformers reads no longer.
    reader.must_be("hidden_activation", fields["hidden_act"])
    reader.must_be("use_bidirectional_attention", False)
    config = GemmaConfig(**fields, attention_bias=reader.flag("attention_bias", False))
    reader.finish(GEMMA_HARMLESS)
    return config


def build(config: GemmaConfig) -> Decoder:
    """Make the decoder, as HF's `GemmaForCausalLM`."""

    def norm() -> RMSNorm:
        return gemma_norm(config.hidden_size, config.norm_eps)

    def layer() -> PreNormLayer:
        return PreNormLayer(
            self_attn=Attention(
                hidden_size=config.hidden_size,
                num_attention_heads=config.num_attention_heads,
                num_key_value_heads=config.num_key_value_heads,
                head_dim=config.head_dim,
                bias=config.attention_bias,
            ),
            mlp=GatedMLP(
                hidden_size=config.hidden_size,
                intermediate_size=config.intermediate_size,
                hidden_act=config.hidden_act,
            ),
            input_layernorm=norm(),
            post_attention_layernorm=norm(),
        )

    return Decoder(
        vocab_size=config.vocab_size,
        hidden_size=config.hidden_size,
        layers=[layer() for _ in range(config.num_hidden_layers)],
        norm=norm(),
        ropes={name: make_rope(config.head_dim, p) for name, p in config.rope.items()},
        tie_word_embeddings=config.tie_word_embeddings,
        embedding_multiplier=config.hidden_size**0.5,
    )


def gemma_norm(size: int, eps: float) -> RMSNorm:
    """Make a norm whose stored weight is its distance from 1, as HF's `GemmaRMSNorm`."""
    return RMSNorm(size=size, eps=eps, unit_offset=True)


def tiny_config() -> dict[str, Any]:
    """Return a config of the first releases' spelling, multi-query."""
    return {
        "model_type": "gemma",
        "vocab_size": 97,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 1,
        "head_dim": 24,
        "hidden_act": "gelu",
        "max_position_embeddings": 64,
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0,
    }
