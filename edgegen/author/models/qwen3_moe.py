"""Qwen 3 mixture of experts, such as 30B-A3B: Qwen 3 with experts in place of most MLPs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from edgegen.author.config import (
    FULL_ATTENTION,
    SLIDING_ATTENTION,
    Assumed,
    DecoderConfig,
    decoder_fields,
)
from edgegen.author.config_reader import HARMLESS, ConfigReader
from edgegen.author.decoder import Decoder
from edgegen.author.decoder_layers import PreNormLayer
from edgegen.author.layers import Attention, GatedMLP, RMSNorm, SparseMoE, layer_masks, make_rope
from edgegen.author.models import llama
from edgegen.author.weights import Join, WeightMap, same_names
from edgegen.errors import ConfigError

KIND = "decoder"

_HARMLESS = {
    **HARMLESS,
    "max_window_layers": "HF's class does not read it: all layers slide or none",
    "output_router_logits": "what to return, not what to compute",
    "router_aux_loss_coef": "training only",
}


@dataclass(frozen=True)
class Qwen3MoeConfig(DecoderConfig):
    """HF's `Qwen3MoeConfig`.

    Attributes:
        is_sparse: For each layer whether it has experts (`decoder_sparse_step`,
            `mlp_only_layers`).
    """

    attention_bias: bool
    moe_intermediate_size: int
    num_experts: int
    num_experts_per_tok: int
    norm_topk_prob: bool
    is_sparse: tuple[bool, ...]


def read_config(raw: Mapping[str, Any]) -> Qwen3MoeConfig:
    """Sort every key of a Qwen 3 MoE `config.json`."""
    # transformers 5 writes num_local_experts, the checkpoints were published with num_experts.
    names = {"num_experts": "num_local_experts"} if "num_local_experts" in raw else {}
    reader = ConfigReader.of_checkpoint(raw, names=names)
    layers = reader.integer("num_hidden_layers")
    slides = reader.flag("use_sliding_window", False)
    window = reader.optional_integer("sliding_window")
    if slides and not reader.has("sliding_window"):
        window = 4096
    window = window if slides else None
    step = reader.integer("decoder_sparse_step", 1)
    dense = reader.integers("mlp_only_layers", [])
    experts, chosen = _read_experts(reader)
    config = Qwen3MoeConfig(
        **decoder_fields(
            reader,
            "qwen3_moe",
            Assumed(num_key_value_heads=4, max_position_embeddings=32768),
            layer_types=[SLIDING_ATTENTION if window else FULL_ATTENTION] * layers,
            sliding_window=window,
        ),
        attention_bias=reader.flag("attention_bias", False),
        moe_intermediate_size=reader.integer("moe_intermediate_size", 768),
        num_experts=experts,
        num_experts_per_tok=chosen,
        norm_topk_prob=reader.flag("norm_topk_prob", False),
        is_sparse=tuple(index not in dense and (index + 1) % step == 0 for index in range(layers)),
    )
    reader.finish(_HARMLESS)
    return config


def _read_experts(reader: ConfigReader) -> tuple[int, int]:
    experts = reader.integer("num_experts", 128, most=4096)
    chosen = reader.integer("num_experts_per_tok", 8, most=256)
    if chosen > experts:
        raise ConfigError(
            f"config.json has num_experts_per_tok={chosen}, but only {experts} experts",
            "correct config.json, or use a checkpoint that edgegen can author",
        )
    return experts, chosen


def build(config: Qwen3MoeConfig) -> Decoder:
    """Make the decoder, as HF's `Qwen3MoeForCausalLM`."""

    def norm(size: int) -> RMSNorm:
        return RMSNorm(size=size, eps=config.norm_eps)

    def layer(layer_type: str, is_sparse: bool) -> PreNormLayer:
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
            mlp=_experts(config) if is_sparse else _mlp(config),
            input_layernorm=norm(config.hidden_size),
            post_attention_layernorm=norm(config.hidden_size),
        )

    kinds = zip(config.layer_types, config.is_sparse, strict=True)
    return Decoder(
        vocab_size=config.vocab_size,
        hidden_size=config.hidden_size,
        layers=[layer(layer_type, is_sparse) for layer_type, is_sparse in kinds],
        norm=norm(config.hidden_size),
        ropes={name: make_rope(config.head_dim, p) for name, p in config.rope.items()},
        masks=layer_masks(config.layer_types, config.sliding_window),
        tie_word_embeddings=config.tie_word_embeddings,
    )


def _experts(config: Qwen3MoeConfig) -> nn.Module:
    return SparseMoE(
        hidden_size=config.hidden_size,
        moe_intermediate_size=config.moe_intermediate_size,
        num_experts=config.num_experts,
        num_experts_per_tok=config.num_experts_per_tok,
        hidden_act=config.hidden_act,
        norm_topk_prob=config.norm_topk_prob,
    )


def _mlp(config: Qwen3MoeConfig) -> nn.Module:
    return GatedMLP(
        hidden_size=config.hidden_size,
        intermediate_size=config.intermediate_size,
        hidden_act=config.hidden_act,
    )


def weight_map(config: Qwen3MoeConfig) -> WeightMap:
    """Return the entries; the matrices of all experts of a layer become one.

    Published checkpoints and what transformers 5 saves both store one matrix for each expert.
    """
    prefix = "model.layers.{layer}.mlp."
    return (
        *llama.weight_map(config),
        *same_names(prefix, ("gate.weight",), "layers.{layer}.mlp."),
        *(
            Join(
                f"layers.{{layer}}.mlp.{name}.weight",
                tuple(f"{prefix}experts.{e}.{name}.weight" for e in range(config.num_experts)),
                dim,
            )
            for name, dim in (("gate_proj", 0), ("up_proj", 0), ("down_proj", 1))
        ),
    )


def tiny_config() -> dict[str, Any]:
    """Return a config with a dense layer between two of experts."""
    return {
        "model_type": "qwen3_moe",
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
        "mlp_only_layers": [1],
        "moe_intermediate_size": 20,
        "num_experts": 5,
        "num_experts_per_tok": 2,
        "norm_topk_prob": True,
        "tie_word_embeddings": False,
    }
