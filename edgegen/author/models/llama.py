"""Llama 2 and 3, and the models of its shape: TinyLlama, SmolLM 1 and 2, R1-distill-Llama."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgegen.author.config import DecoderConfig, read_decoder_config
from edgegen.author.decoder import Decoder, DecoderLayer
from edgegen.author.layers import ACTIVATIONS, Attention, GatedMLP, RMSNorm, rope_inv_freq
from edgegen.author.weights import Copy, Drop, Rename, WeightMap


def read_config(raw: Mapping[str, Any]) -> DecoderConfig:
    """Sort every key of a Llama `config.json`."""
    return read_decoder_config(raw, tuple(sorted(ACTIVATIONS)))


def build(config: DecoderConfig) -> Decoder:
    """Make the decoder, as HF's `LlamaForCausalLM`."""

    def norm() -> RMSNorm:
        return RMSNorm(size=config.hidden_size, eps=config.rms_norm_eps)

    def layer() -> DecoderLayer:
        return DecoderLayer(
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
        inv_freq=rope_inv_freq(config.head_dim, config.rope_theta, config.rope_scaling),
        tie_word_embeddings=config.tie_word_embeddings,
    )


def weight_map(config: DecoderConfig) -> WeightMap:
    """Names are HF's own, under `model.`."""
    projections = [f"self_attn.{p}_proj" for p in "qkvo"]
    projections += [f"mlp.{p}_proj" for p in ("gate", "up", "down")]
    tensors = [f"{name}.{kind}" for name in projections for kind in ("weight", "bias")]
    tensors += ["input_layernorm.weight", "post_attention_layernorm.weight"]
    return (
        Rename("embed_tokens.weight", "model.embed_tokens.weight"),
        *(Rename(f"layers.{{layer}}.{t}", f"model.layers.{{layer}}.{t}") for t in tensors),
        Rename("norm.weight", "model.norm.weight"),
        Drop("model.layers.{layer}.self_attn.rotary_emb.inv_freq", "computed from the config"),
        Copy("lm_head.weight", of="model.embed_tokens.weight")
        if config.tie_word_embeddings
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
