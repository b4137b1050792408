"""ERNIE 4.5, the dense models: Llama whose rotary embeddings pair neighbouring channels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgegen.author.config import Assumed, DecoderConfig, decoder_fields
from edgegen.author.config_reader import HARMLESS, ConfigReader
from edgegen.author.decoder import Decoder
from edgegen.author.decoder_layers import PreNormLayer
from edgegen.author.layers import Attention, GatedMLP, RMSNorm, make_rope
from edgegen.author.models import llama
from edgegen.author.weights import Rename, Rows, WeightMap, half_split_rows

KIND = "decoder"


@dataclass(frozen=True)
class Ernie4_5Config(DecoderConfig):
    """HF's `Ernie4_5Config`.

    Attributes:
        use_bias: Whether all projections of the layers have one.
    """

    use_bias: bool


def read_config(raw: Mapping[str, Any]) -> Ernie4_5Config:
    """Sort every key of an ERNIE 4.5 `config.json`."""
    reader = ConfigReader.of_checkpoint(raw, classes="Ernie4_5_")
    config = Ernie4_5Config(
        **decoder_fields(
            reader,
            "ernie4_5",
            Assumed(
                norm_eps=1e-5,
                rope_theta=500000.0,
                num_key_value_heads=2,
                head_dim=128,
                max_position_embeddings=131072,
                tie_word_embeddings=True,
            ),
        ),
        use_bias=reader.flag("use_bias", False),
    )
    reader.finish(HARMLESS)
    return config


def build(config: Ernie4_5Config) -> Decoder:
    """Make the decoder, as HF's `Ernie4_5ForCausalLM`."""

    def norm() -> RMSNorm:
        return RMSNorm(size=config.hidden_size, eps=config.norm_eps)

    def layer() -> PreNormLayer:
        return PreNormLayer(
            self_attn=Attention(
                hidden_size=config.hidden_size,
                num_attention_heads=config.num_attention_heads,
                num_key_value_heads=config.num_key_value_heads,
                head_dim=config.head_dim,
                bias=config.use_bias,
            ),
            mlp=GatedMLP(
                hidden_size=config.hidden_size,
                intermediate_size=config.intermediate_size,
                hidden_act=config.hidden_act,
                bias=config.use_bias,
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


def weight_map(config: Ernie4_5Config) -> WeightMap:
    """Names are HF's own; rows of queries and keys are put into the order of our rotation."""
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    reordered = [
        Rename(
            f"layers.{{layer}}.self_attn.{name}.{kind}",
            f"model.layers.{{layer}}.self_attn.{name}.{kind}",
            (Rows(half_split_rows(count, config.head_dim).tolist(), count * config.head_dim),),
        )
        for name, count in heads.items()
        for kind in ("weight", "bias")
    ]
    return (*reordered, *llama.weight_map(config))


def tiny_config() -> dict[str, Any]:
    """Return a config with biases, whose rows move as those of the matrices do."""
    return {
        "model_type": "ernie4_5",
        "vocab_size": 97,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
        "head_dim": 24,
        "max_position_embeddings": 64,
        "rms_norm_eps": 1e-5,
        "rope_theta": 500000.0,
        "use_bias": True,
        "tie_word_embeddings": True,
    }
