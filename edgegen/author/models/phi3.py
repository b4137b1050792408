"""Phi-3, 3.5, 4 and 4-mini: Llama with fused projections, longrope and one window for all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
from edgegen.author.layers import Attention, GatedMLP, RMSNorm, layer_masks, make_rope
from edgegen.author.models.llama import LAYER_NAMES, embedding_names
from edgegen.author.weights import Rename, Rows, WeightMap, same_names
from edgegen.errors import ConfigError

KIND = "decoder"

_DROPOUTS = {"embd_pdrop": "training only", "resid_pdrop": "training only"}
# Keys that Phi-4-mini publishes for features that it does not use.
_UNUSED = {
    "attention_bias": False,
    "full_attn_mod": 1,
    "interpolate_factor": 1,
    "lm_head_bias": False,
    "mlp_bias": False,
}
_TRAINED_POSITIONS = "original_max_position_embeddings"


def read_config(raw: Mapping[str, Any]) -> DecoderConfig:
    """Sort every key of a Phi-3 `config.json`, as HF's `Phi3Config`.

    Raises:
        ConfigError: a key asks for what is not authored.
    """
    # HF's class has a default for it, which outranks what the rope section says.
    trained = {} if raw.get(_TRAINED_POSITIONS) is not None else {_TRAINED_POSITIONS: 4096}
    reader = ConfigReader.of_checkpoint({**raw, **trained}, classes="Phi3")
    window = reader.optional_integer("sliding_window")
    layer_type = FULL_ATTENTION if window is None else SLIDING_ATTENTION
    config = DecoderConfig(
        **decoder_fields(
            reader,
            "phi3",
            Assumed(norm_eps=1e-5, max_position_embeddings=4096, partial_rotary=True),
            layer_types=[layer_type] * reader.integer("num_hidden_layers"),
            sliding_window=window,
        )
    )
    for key, only in _UNUSED.items():
        reader.must_be(key, only)
    for rope in config.rope.values():
        if rope.rope_type not in ("default", "longrope"):
            raise ConfigError(
                f"config.json has rope_type={rope.rope_type!r}, expected default or longrope",
                "these are the only ones that transformers' Phi-3 computes",
            )
    reader.integer(_TRAINED_POSITIONS, most=1 << 31)
    reader.finish({**HARMLESS, **_DROPOUTS})
    return config


def build(config: DecoderConfig) -> Decoder:
    """Make the decoder, as HF's `Phi3ForCausalLM`."""

    def norm() -> RMSNorm:
        return RMSNorm(size=config.hidden_size, eps=config.norm_eps)

    def layer(layer_type: str) -> PreNormLayer:
        return PreNormLayer(
            self_attn=Attention(
                hidden_size=config.hidden_size,
                num_attention_heads=config.num_attention_heads,
                num_key_value_heads=config.num_key_value_heads,
                head_dim=config.head_dim,
                mask=layer_type,
                rope=layer_type,
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
        layers=[layer(layer_type) for layer_type in config.layer_types],
        norm=norm(),
        ropes={name: make_rope(config.head_dim, p) for name, p in config.rope.items()},
        masks=layer_masks(config.layer_types, config.sliding_window),
        tie_word_embeddings=config.tie_word_embeddings,
    )


def weight_map(config: DecoderConfig) -> WeightMap:
    """Queries, keys and values are rows of one matrix, gate and up projection of another."""
    queries = config.num_attention_heads * config.head_dim
    keys = config.num_key_value_heads * config.head_dim
    hidden = config.intermediate_size
    queries_keys_values = queries + 2 * keys
    rows = {
        "self_attn.q_proj": range(queries),
        "self_attn.k_proj": range(queries, queries + keys),
        "self_attn.v_proj": range(queries + keys, queries_keys_values),
        "mlp.gate_proj": range(hidden),
        "mlp.up_proj": range(hidden, 2 * hidden),
    }
    fused = {
        "self_attn": ("self_attn.qkv_proj", queries_keys_values),
        "mlp": ("mlp.gate_up_proj", 2 * hidden),
    }
    parts = []
    for name, picked in rows.items():
        source, of = fused[name.partition(".")[0]]
        stored = f"model.layers.{{layer}}.{source}.weight"
        parts.append(Rename(f"layers.{{layer}}.{name}.weight", stored, (Rows(picked, of),)))
    return (
        *embedding_names(config.tie_word_embeddings),
        *parts,
        *same_names("model.layers.{layer}.", LAYER_NAMES, "layers.{layer}."),
    )


def tiny_config() -> dict[str, Any]:
    """Return a config with a window, grouped queries, part of each head turning, and longrope."""
    return {
        "model_type": "phi3",
        "vocab_size": 97,
        "hidden_size": 96,
        "intermediate_size": 136,
        "num_hidden_layers": 2,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
        "max_position_embeddings": 64,
        "original_max_position_embeddings": 32,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "partial_rotary_factor": 0.75,
        "rope_scaling": {
            "type": "longrope",
            "short_factor": [1.0 + 0.1 * i for i in range(6)],
            "long_factor": [1.5 + 0.5 * i for i in range(6)],
        },
        "sliding_window": 9,
        "tie_word_embeddings": False,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
