"""OLMo 2: norms after the blocks, and on all queries and all keys together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgegen.author.config import Assumed, DecoderConfig, decoder_fields
from edgegen.author.config_reader import HARMLESS, ConfigReader
from edgegen.author.decoder import Decoder
from edgegen.author.decoder_layers import PostNormLayer
from edgegen.author.layers import (
    AcrossHeads,
    Attention,
    GatedMLP,
    RMSNorm,
    layer_masks,
    make_rope,
)
from edgegen.author.models import llama
from edgegen.author.weights import Rename, WeightMap

KIND = "decoder"


@dataclass(frozen=True)
class Olmo2Config(DecoderConfig):
    """HF's `Olmo2Config`."""

    attention_bias: bool


def read_config(raw: Mapping[str, Any]) -> Olmo2Config:
    """Sort every key of an OLMo 2 `config.json`."""
    reader = ConfigReader.of_checkpoint(raw)
    config = Olmo2Config(
        **decoder_fields(reader, "olmo2", Assumed(norm_eps=1e-5)),
        attention_bias=reader.flag("attention_bias", False),
    )
    reader.finish(HARMLESS)
    return config


def build(config: Olmo2Config) -> Decoder:
    """Make the decoder, as HF's `Olmo2ForCausalLM`."""

    def norm(size: int) -> RMSNorm:
        return RMSNorm(size=size, eps=config.norm_eps)

    def layer(layer_type: str) -> PostNormLayer:
        return PostNormLayer(
            self_attn=Attention(
                hidden_size=config.hidden_size,
                num_attention_heads=config.num_attention_heads,
                num_key_value_heads=config.num_key_value_heads,
                head_dim=config.head_dim,
                bias=config.attention_bias,
                mask=layer_type,
                rope=layer_type,
                q_norm=AcrossHeads(norm(config.num_attention_heads * config.head_dim)),
                k_norm=AcrossHeads(norm(config.num_key_value_heads * config.head_dim)),
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
        ropes={name: make_rope(config.head_dim, p) for name, p in config.rope.items()},
        masks=layer_masks(config.layer_types, config.sliding_window),
        tie_word_embeddings=config.tie_word_embeddings,
    )


def weight_map(config: Olmo2Config) -> WeightMap:
    """Names are HF's own, under `model.`."""
    return (
        *(
            Rename(
                f"layers.{{layer}}.self_attn.{name}.norm.weight",
                f"model.layers.{{layer}}.self_attn.{name}.weight",
            )
            for name in ("q_norm", "k_norm")
        ),
        *llama.weight_map(config),
    )


def tiny_config() -> dict[str, Any]:
    """Return a config with fewer KV heads, which the largest of the family has."""
    return {
        "model_type": "olmo2",
        "vocab_size": 97,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
        "head_dim": 24,
        "max_position_embeddings": 64,
        "rms_norm_eps": 1e-6,
        "rope_theta": 500000.0,
        "tie_word_embeddings": False,
    }
