"""Llama 2 and 3, and the models of its shape: TinyLlama, SmolLM 1 and 2, R1-distill-Llama."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgegen.author.config import DecoderConfig, decoder_fields
from edgegen.author.config_reader import HARMLESS, ConfigReader
from edgegen.author.decoder import Decoder
from edgegen.author.decoder_layers import PreNormLayer
from edgegen.author.layers import Attention, GatedMLP, RMSNorm, make_rope
from edgegen.author.weights import Copy, Drop, Rename, WeightMap, same_names

KIND = "decoder"


@dataclass(frozen=True)
class LlamaConfig(DecoderConfig):
    """HF's `LlamaConfig`."""

    attention_bias: bool
    mlp_bias: bool


def read_config(raw: Mapping[str, Any]) -> LlamaConfig:
    """Sort every key of a Llama `config.json`."""
    reader = ConfigReader.of_checkpoint(raw)
    # Falcon 3 says with this what hidden_act and the gated block say already.
    reader.must_be("activation", "swiglu")
    config = LlamaConfig(
        **decoder_fields(reader, "llama"),
        attention_bias=reader.flag("attention_bias", False),
        mlp_bias=reader.flag("mlp_bias", False),
    )
    reader.finish(HARMLESS)
    return config


def build(config: LlamaConfig) -> Decoder:
    """Make the decoder, as HF's `LlamaForCausalLM`."""

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

    return Decoder(
        vocab_size=config.vocab_size,
        hidden_size=config.hidden_size,
        layers=[layer() for _ in range(config.num_hidden_layers)],
        norm=norm(),
        ropes={name: make_rope(config.head_dim, p) for name, p in config.rope.items()},
        tie_word_embeddings=config.tie_word_embeddings,
    )


def weight_map(config: DecoderConfig) -> WeightMap:
    """Names are HF's own, under `model.`."""
    return (
        *embedding_names(config.tie_word_embeddings),
        *same_names("model.layers.{layer}.", LAYER_NAMES, "layers.{layer}."),
        Drop("model.layers.{layer}.self_attn.rotary_emb.inv_freq", "computed from the config"),
    )


# What a layer may hold; which of it there is, the parameters say.
LAYER_NAMES = (
    *(f"self_attn.{p}_proj.{kind}" for p in "qkvo" for kind in ("weight", "bias")),
    *(f"mlp.{p}_proj.{kind}" for p in ("gate", "up", "down") for kind in ("weight", "bias")),
    "self_attn.q_norm.weight",
    "self_attn.k_norm.weight",
    "input_layernorm.weight",
    "post_attention_layernorm.weight",
    "pre_feedforward_layernorm.weight",
    "post_feedforward_layernorm.weight",
)


def embedding_names(tie_word_embeddings: bool) -> WeightMap:
    """Return the entries for embedding, final norm and head that most decoders share."""
    return (
        *same_names("model.", ("embed_tokens.weight", "norm.weight", "norm.bias")),
        Copy("lm_head.weight", of="model.embed_tokens.weight")
        if tie_word_embeddings
        else Rename("lm_head.weight", "lm_head.weight"),
    )


def tiny_config() -> dict[str, Any]:
    """Return a config whose head_dim is not hidden/heads, so that a mix-up shows."""
    return {
        "model_type": "llama",
        "vocab_size": 96,
        "hidden_size": 96,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
        "head_dim": 32,
        "max_position_embeddings": 64,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "tie_word_embeddings": True,
    }
