"""Phi-1, 1.5 and 2: attention and feed-forward side by side, with biases everywhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgegen.author.config import Assumed, DecoderConfig, decoder_fields
from edgegen.author.config_reader import HARMLESS, ConfigReader
from edgegen.author.decoder import Decoder
from edgegen.author.decoder_layers import ParallelLayer
from edgegen.author.layers import MLP, Attention, LayerNorm, make_rope
from edgegen.author.weights import Copy, Drop, Rename, WeightMap, same_names

KIND = "decoder"

_DROPOUTS = {"embd_pdrop": "training only", "resid_pdrop": "training only"}


@dataclass(frozen=True)
class PhiConfig(DecoderConfig):
    """HF's `PhiConfig`.

    Attributes:
        qk_layernorm: Whether queries and keys are normalized, each head alike.
    """

    qk_layernorm: bool


def read_config(raw: Mapping[str, Any]) -> PhiConfig:
    """Sort every key of a Phi `config.json`.

    Raises:
        ConfigError: a key asks for what is not authored.
    """
    reader = ConfigReader.of_checkpoint(raw, classes="Phi")
    config = PhiConfig(
        **decoder_fields(
            reader,
            "phi",
            Assumed(
                hidden_act="gelu_new",
                norm_eps=1e-5,
                norm_eps_key="layer_norm_eps",
                partial_rotary_factor=0.5,
                partial_rotary=True,
            ),
        ),
        qk_layernorm=reader.flag("qk_layernorm", False),
    )
    reader.finish({**HARMLESS, **_DROPOUTS})
    return config


def build(config: PhiConfig) -> Decoder:
    """Make the decoder, as HF's `PhiForCausalLM`."""

    def norm(size: int) -> LayerNorm:
        return LayerNorm(size=size, eps=config.norm_eps)

    def layer() -> ParallelLayer:
        return ParallelLayer(
            self_attn=Attention(
                hidden_size=config.hidden_size,
                num_attention_heads=config.num_attention_heads,
                num_key_value_heads=config.num_key_value_heads,
                head_dim=config.head_dim,
                bias=True,
                q_norm=norm(config.head_dim) if config.qk_layernorm else None,
                k_norm=norm(config.head_dim) if config.qk_layernorm else None,
            ),
            mlp=MLP(
                hidden_size=config.hidden_size,
                intermediate_size=config.intermediate_size,
                hidden_act=config.hidden_act,
            ),
            input_layernorm=norm(config.hidden_size),
        )

    return Decoder(
        vocab_size=config.vocab_size,
        hidden_size=config.hidden_size,
        layers=[layer() for _ in range(config.num_hidden_layers)],
        norm=norm(config.hidden_size),
        ropes={name: make_rope(config.head_dim, p) for name, p in config.rope.items()},
        tie_word_embeddings=config.tie_word_embeddings,
        head_bias=True,
    )


def weight_map(config: PhiConfig) -> WeightMap:
    """Names are HF's own, but for the output projection, the norms of heads and the last norm."""
    kinds = ("weight", "bias")
    same = [f"self_attn.{p}_proj" for p in "qkv"] + ["mlp.fc1", "mlp.fc2", "input_layernorm"]
    other = {
        "self_attn.o_proj": "self_attn.dense",
        "self_attn.q_norm": "self_attn.q_layernorm",
        "self_attn.k_norm": "self_attn.k_layernorm",
    }
    names = {**{name: name for name in same}, **other}
    return (
        *same_names("model.", ("embed_tokens.weight",)),
        *(Rename(f"norm.{kind}", f"model.final_layernorm.{kind}") for kind in kinds),
        *(
            Rename(f"layers.{{layer}}.{ours}.{kind}", f"model.layers.{{layer}}.{theirs}.{kind}")
            for ours, theirs in names.items()
            for kind in kinds
        ),
        Copy("lm_head.weight", of="model.embed_tokens.weight")
        if config.tie_word_embeddings
        else Rename("lm_head.weight", "lm_head.weight"),
        Rename("head_bias", "lm_head.bias"),
        Drop("model.layers.{layer}.self_attn.rotary_emb.inv_freq", "computed from the config"),
    )


def tiny_config() -> dict[str, Any]:
    """Return a config in which two thirds of each head turn."""
    return {
        "model_type": "phi",
        "vocab_size": 97,
        "hidden_size": 72,
        "intermediate_size": 136,
        "num_hidden_layers": 2,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
        "hidden_act": "gelu_new",
        "max_position_embeddings": 64,
        "layer_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "partial_rotary_factor": 0.67,
        "qk_layernorm": False,
        "tie_word_embeddings": False,
    }
