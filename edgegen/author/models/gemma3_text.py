"""Gemma 3 270M and 1B, FunctionGemma: five sliding layers for each full one, two rotations."""

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
from edgegen.author.models.gemma2 import read_window
from edgegen.author.models.llama import weight_map

__all__ = [
    "Gemma3Config",
    "build",
    "gemma3_layer",
    "read_config",
    "read_text",
    "tiny_config",
    "weight_map",
    "with_two_rotations",
]

KIND = "decoder"

_HARMLESS = {
    **GEMMA_HARMLESS,
    "_sliding_window_pattern": "written beside layer_types, which say it; never read",
}


@dataclass(frozen=True)
class Gemma3Config(DecoderConfig):
    """HF's `Gemma3TextConfig`.

    Attributes:
        query_pre_attn_scalar: Scores are divided by its square root, not by that of H.
        final_logit_softcapping: Logits are bent to stay below it.
    """

    attention_bias: bool
    query_pre_attn_scalar: float
    final_logit_softcapping: float | None


def read_config(raw: Mapping[str, Any]) -> Gemma3Config:
    """Sort every key of the `config.json` of a Gemma 3 without vision."""
    reader = ConfigReader.of_checkpoint(with_two_rotations(raw))
    # With true it is an embedding model, and gemma3_embedding.py authors it.
    reader.must_be("use_bidirectional_attention", False)
    return read_text(reader)


def read_text(reader: ConfigReader) -> Gemma3Config:
    """Take all keys of a `Gemma3TextConfig`, after `with_two_rotations`.

    `use_bidirectional_attention` is the caller's.

    Raises:
        ConfigError: a key is wrong or unknown.
    """
    layers = reader.integer("num_hidden_layers")
    pattern = reader.integer("sliding_window_pattern", 6)
    layer_types = read_layer_types(
        reader,
        [SLIDING_ATTENTION if (i + 1) % pattern else FULL_ATTENTION for i in range(layers)],
    )
    config = Gemma3Config(
        **decoder_fields(
            reader,
            "gemma3_text",
            Assumed(
                hidden_act="gelu_pytorch_tanh",
                act_keys=("hidden_activation",),
                head_dim=256,
                num_key_value_heads=4,
                max_position_embeddings=131072,
                tie_word_embeddings=True,
            ),
            layer_types=layer_types,
            sliding_window=read_window(reader, layer_types, 4096),
        ),
        attention_bias=reader.flag("attention_bias", False),
        query_pre_attn_scalar=reader.number("query_pre_attn_scalar", 256.0),
        final_logit_softcapping=reader.optional_number("final_logit_softcapping"),
    )
    reader.finish(_HARMLESS)
    return config


def with_two_rotations(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Rewrite the older spelling of the two rotations as `rope_parameters`.

    In it `rope_theta` and `rope_scaling` are those of the full layers alone, and
    `rope_local_base_freq` is the base of the sliding ones. As HF's `Gemma3TextConfig` does it.
    """
    keys = ("rope_parameters", "rope_scaling", "rope_theta", "rope_local_base_freq")
    older = {key: raw[key] for key in keys if raw.get(key) is not None}
    rest = {key: value for key, value in raw.items() if key not in keys}
    sections = older.get("rope_parameters", {})
    scaling = older.get("rope_scaling", {})
    if not isinstance(sections, Mapping) or not isinstance(scaling, Mapping):
        return dict(raw)  # the reader names what is wrong
    plain: dict[str, Any] = {"rope_type": "default"}
    full = sections.get(FULL_ATTENTION) or plain
    sliding = sections.get(SLIDING_ATTENTION) or plain
    if not isinstance(full, Mapping) or not isinstance(sliding, Mapping):
        return dict(raw)
    rest["rope_parameters"] = {
        **sections,
        FULL_ATTENTION: {"rope_theta": older.get("rope_theta", 1000000.0), **full, **scaling},
        SLIDING_ATTENTION: {"rope_theta": older.get("rope_local_base_freq", 10000.0), **sliding},
    }
    return rest


def build(config: Gemma3Config) -> Decoder:
    """Make the decoder, as HF's `Gemma3ForCausalLM`."""
    return Decoder(
        vocab_size=config.vocab_size,
        hidden_size=config.hidden_size,
        layers=[gemma3_layer(config, layer_type) for layer_type in config.layer_types],
        norm=gemma_norm(config.hidden_size, config.norm_eps),
        ropes={name: make_rope(config.head_dim, p) for name, p in config.rope.items()},
        masks=layer_masks(config.layer_types, config.sliding_window),
        tie_word_embeddings=config.tie_word_embeddings,
        embedding_multiplier=config.hidden_size**0.5,
        final_logit_softcapping=config.final_logit_softcapping,
    )


def gemma3_layer(
    config: Gemma3Config, layer_type: str, attention: type[Attention] = Attention
) -> SandwichNormLayer:
    """Make a layer, as HF's `Gemma3DecoderLayer`.

    Args:
        config: The model's config.
        layer_type: Which mask and rotation it uses.
        attention: The kind of attention.
    """

    def norm(size: int = config.hidden_size) -> RMSNorm:
        return gemma_norm(size, config.norm_eps)

    return SandwichNormLayer(
        self_attn=attention(
            hidden_size=config.hidden_size,
            num_attention_heads=config.num_attention_heads,
            num_key_value_heads=config.num_key_value_heads,
            head_dim=config.head_dim,
            bias=config.attention_bias,
            mask=layer_type,
            rope=layer_type,
            scale=config.query_pre_attn_scalar**-0.5,
            q_norm=norm(config.head_dim),
            k_norm=norm(config.head_dim),
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


def tiny_config() -> dict[str, Any]:
    """Return a config in the published spelling: two layers slide, the third does not."""
    return {
        "model_type": "gemma3_text",
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
        "rope_theta": 1000000.0,
        "rope_local_base_freq": 10000.0,
        "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
        "query_pre_attn_scalar": 20,
        "sliding_window": 9,
        "sliding_window_pattern": 3,
    }
