"""Hunyuan dense, 0.5B to 7B, and Hunyuan MT: Llama with norms on rotated queries and keys."""

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
from edgegen.author.weights import Rename, WeightMap

KIND = "decoder"

_SPECIAL_TOKENS = (
    "eod_token_id",
    "im_end_id",
    "im_newline_id",
    "im_start_id",
    "mask_init_id",
    "pad_id",
    "sep_token_id",
)
_HARMLESS = {
    **HARMLESS,
    **dict.fromkeys(_SPECIAL_TOKENS, "a token id, and nothing is computed from it"),
    "cla_share_factor": "of attention shared across layers, which must be off",
    "class_num": "classification heads only",
    "dense_list": "classification heads only",
    "org_vocab_size": "the vocabulary before the tokenizer was padded",
    "pool_type": "classification heads only",
}
# What scales other kinds of RoPE, and HF leaves aside where there is an alpha.
_BESIDE_ALPHA = dict.fromkeys(
    ("beta_fast", "beta_slow", "factor", "mscale", "mscale_all_dim", "rope_type", "type"),
    "alpha alone says how far the base is stretched",
)


@dataclass(frozen=True)
class HunYuanDenseV1Config(DecoderConfig):
    """HF's `HunYuanDenseV1Config`."""

    attention_bias: bool


def read_config(raw: Mapping[str, Any]) -> HunYuanDenseV1Config:
    """Sort every key of a Hunyuan `config.json`."""
    reader = ConfigReader.of_checkpoint(_stretched(raw))
    fields = decoder_fields(reader, "hunyuan_v1_dense", Assumed(norm_eps=1e-5))
    reader.must_be("attention_head_dim", fields["head_dim"])
    for key, only in {
        "add_classification_head": False,
        "mlp_bias": False,
        "norm_type": "rms",
        "use_cla": False,
        "use_qk_norm": True,
    }.items():
        reader.must_be(key, only)
    config = HunYuanDenseV1Config(**fields, attention_bias=reader.flag("attention_bias", False))
    reader.finish(_HARMLESS)
    return config


def _stretched(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Put the plain rotary embedding that it amounts to in place of one with an `alpha`.

    The checkpoints call it `dynamic`, but the base is stretched once, whatever the length:
    `theta * alpha ** (H / (H - 2))`.
    """
    outside = ConfigReader(raw)
    result = dict(raw)
    for key in ("rope_parameters", "rope_scaling"):
        section = outside.section(key)
        if section is None or not section.is_set("alpha"):
            continue
        section.must_be("rope_type" if section.is_set("rope_type") else "type", "dynamic")
        heads, hidden = outside.integer("num_attention_heads"), outside.integer("hidden_size")
        size = outside.integer("head_dim", max(1, hidden // heads), least=4)
        theta = section.number("rope_theta", outside.number("rope_theta", 10000.0))
        theta *= section.number("alpha", None) ** (size / (size - 2))
        section.finish(_BESIDE_ALPHA, "rope_parameters in config.json")
        result[key] = {"rope_type": "default", "rope_theta": theta}
    return result


def build(config: HunYuanDenseV1Config) -> Decoder:
    """Make the decoder, as HF's `HunYuanDenseV1ForCausalLM`."""

    def norm(size: int) -> RMSNorm:
        return RMSNorm(size=size, eps=config.norm_eps)

    def layer() -> PreNormLayer:
        return PreNormLayer(
            self_attn=Attention(
                hidden_size=config.hidden_size,
                num_attention_heads=config.num_attention_heads,
                num_key_value_heads=config.num_key_value_heads,
                head_dim=config.head_dim,
                bias=config.attention_bias,
                q_norm=norm(config.head_dim),
                k_norm=norm(config.head_dim),
                norm_first=False,
            ),
            mlp=GatedMLP(
                hidden_size=config.hidden_size,
                intermediate_size=config.intermediate_size,
                hidden_act=config.hidden_act,
            ),
            input_layernorm=norm(config.hidden_size),
            post_attention_layernorm=norm(config.hidden_size),
        )

    return Decoder(
        vocab_size=config.vocab_size,
        hidden_size=config.hidden_size,
        layers=[layer() for _ in range(config.num_hidden_layers)],
        norm=norm(config.hidden_size),
        ropes={name: make_rope(config.head_dim, p) for name, p in config.rope.items()},
        tie_word_embeddings=config.tie_word_embeddings,
    )


def weight_map(config: HunYuanDenseV1Config) -> WeightMap:
    """Names are HF's own, but for the norms of queries and keys."""
    stored = {"q_norm": "query_layernorm", "k_norm": "key_layernorm"}
    return (
        *(
            Rename(
                f"layers.{{layer}}.self_attn.{ours}.weight",
                f"model.layers.{{layer}}.self_attn.{theirs}.weight",
            )
            for ours, theirs in stored.items()
        ),
        *llama.weight_map(config),
    )


def tiny_config() -> dict[str, Any]:
    """Return a config whose rotary base is stretched as that of the published models."""
    return {
        "model_type": "hunyuan_v1_dense",
        "vocab_size": 97,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
        "head_dim": 24,
        "max_position_embeddings": 64,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "rope_scaling": {"type": "dynamic", "alpha": 1000.0, "factor": 1.0},
        "tie_word_embeddings": True,
    }
