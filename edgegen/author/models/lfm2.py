"""LFM2: layers that are a short convolution, with attention layers between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from edgegen.author.config import FULL_ATTENTION, Assumed, DecoderConfig, decoder_fields
from edgegen.author.config_reader import HARMLESS, ConfigReader
from edgegen.author.decoder import Decoder
from edgegen.author.decoder_layers import PreNormLayer
from edgegen.author.layers import Attention, GatedMLP, RMSNorm, ShortConv, make_rope
from edgegen.author.weights import Column, Copy, Rename, Rows, WeightMap
from edgegen.errors import ConfigError

KIND = "decoder"
_MOST_FEED_FORWARD = 1 << 20

CONV = "conv"
_HARMLESS = {
    "block_mlp_init_scale": "training only",
    "block_out_init_scale": "training only",
    "block_use_xavier_init": "training only",
    "conv_use_xavier_init": "training only",
    "full_attn_idxs": "what layer_types says, which goes first",
}


@dataclass(frozen=True)
class Lfm2Config(DecoderConfig):
    """HF's `Lfm2Config`.

    Attributes:
        conv_L_cache: How many tokens a convolution sees.
        conv_bias: Whether convolutions and their projections have a bias.
    """

    conv_L_cache: int
    conv_bias: bool


def read_config(raw: Mapping[str, Any]) -> Lfm2Config:
    """Sort every key of an LFM2 `config.json`.

    Raises:
        ConfigError: a key asks for what is not authored.
    """
    # Older keys for the same, which transformers lets go first.
    older = {"block_ff_dim": "intermediate_size", "tie_embedding": "tie_word_embeddings"}
    renamed = {new: raw[old] for old, new in older.items() if raw.get(old) is not None}
    kept = {key: value for key, value in raw.items() if key not in older}
    reader = ConfigReader.of_checkpoint({**kept, **renamed}, classes="Lfm2")
    fields = decoder_fields(
        reader,
        "lfm2",
        Assumed(
            norm_eps=1e-5,
            norm_eps_key="norm_eps",
            rope_theta=1000000.0,
            max_position_embeddings=128000,
            num_key_value_heads=8,
            intermediate_size=12288,
            tie_word_embeddings=True,
        ),
        layer_types=_layer_types(reader),
    )
    fields["intermediate_size"] = _feed_forward_size(reader, fields["intermediate_size"])
    config = Lfm2Config(
        **fields,
        conv_L_cache=reader.integer("conv_L_cache", 3, least=2, most=64),
        conv_bias=reader.flag("conv_bias", False),
    )
    # The feed-forward blocks have no other activation, whatever the config says.
    reader.must_be("hidden_act", "silu")
    # Published beside the keys that transformers reads, for the same.
    for key in ("block_dim", "conv_dim", "conv_dim_out"):
        reader.must_be(key, config.hidden_size)
    reader.must_be("num_heads", config.num_attention_heads)
    reader.must_be("block_norm_eps", config.norm_eps)
    reader.must_be("block_use_swiglu", True)
    reader.must_be("use_pos_enc", True)
    reader.finish({**HARMLESS, **_HARMLESS})
    if FULL_ATTENTION not in config.layer_types:
        raise ConfigError(
            "config.json has layer_types without full_attention, expected at least one such layer",
            "the runtimes read the length of the context off its cache",
        )
    return config


def _layer_types(reader: ConfigReader) -> tuple[str, ...]:
    layers = reader.integer("num_hidden_layers")
    attending = reader.integers("full_attn_idxs", range(layers))
    default = [FULL_ATTENTION if index in attending else CONV for index in range(layers)]
    return reader.words("layer_types", default, (CONV, FULL_ATTENTION), layers)


def _feed_forward_size(reader: ConfigReader, stated: int) -> int:
    """Return F: two thirds of what is stated, times a factor, up to a round number."""
    adjusts = reader.flag("block_auto_adjust_ff_dim", True)
    multiple = reader.integer("block_multiple_of", 256)
    factor = reader.number("block_ffn_dim_multiplier", 1.0)
    if not adjusts:
        return stated
    size = int(factor * int(2 * stated / 3))
    if not 1 <= size <= _MOST_FEED_FORWARD:
        raise ConfigError(
            f"config.json has a feed-forward size of {size:g} after block_ffn_dim_multiplier, "
            f"expected 1 to {_MOST_FEED_FORWARD}",
            "correct config.json: it is two thirds of intermediate_size, times that factor",
        )
    return -(-size // multiple) * multiple


def build(config: Lfm2Config) -> Decoder:
    """Make the decoder, as HF's `Lfm2ForCausalLM`."""

    def norm(size: int) -> RMSNorm:
        return RMSNorm(size=size, eps=config.norm_eps)

    def mixer(layer_type: str) -> nn.Module:
        if layer_type == CONV:
            return ShortConv(
                hidden_size=config.hidden_size,
                kernel_size=config.conv_L_cache,
                bias=config.conv_bias,
            )
        return Attention(
            hidden_size=config.hidden_size,
            num_attention_heads=config.num_attention_heads,
            num_key_value_heads=config.num_key_value_heads,
            head_dim=config.head_dim,
            q_norm=norm(config.head_dim),
            k_norm=norm(config.head_dim),
        )

    def layer(layer_type: str) -> PreNormLayer:
        return PreNormLayer(
            self_attn=mixer(layer_type),
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
        layers=[layer(layer_type) for layer_type in config.layer_types],
        norm=norm(config.hidden_size),
        ropes={FULL_ATTENTION: make_rope(config.head_dim, config.rope[FULL_ATTENTION])},
        tie_word_embeddings=config.tie_word_embeddings,
    )


def weight_map(config: Lfm2Config) -> WeightMap:
    """The three inputs of a convolution are rows of one matrix, its taps columns of a kernel."""
    hidden = config.hidden_size
    ours, theirs = "layers.{layer}.", "model.layers.{layer}."
    names = {
        "self_attn.q_proj.weight": "self_attn.q_proj.weight",
        "self_attn.k_proj.weight": "self_attn.k_proj.weight",
        "self_attn.v_proj.weight": "self_attn.v_proj.weight",
        "self_attn.o_proj.weight": "self_attn.out_proj.weight",
        "self_attn.q_norm.weight": "self_attn.q_layernorm.weight",
        "self_attn.k_norm.weight": "self_attn.k_layernorm.weight",
        "self_attn.out_proj.weight": "conv.out_proj.weight",
        "self_attn.out_proj.bias": "conv.out_proj.bias",
        "self_attn.conv_bias": "conv.conv.bias",
        "mlp.gate_proj.weight": "feed_forward.w1.weight",
        "mlp.up_proj.weight": "feed_forward.w3.weight",
        "mlp.down_proj.weight": "feed_forward.w2.weight",
        "input_layernorm.weight": "operator_norm.weight",
        "post_attention_layernorm.weight": "ffn_norm.weight",
    }
    return (
        Rename("embed_tokens.weight", "model.embed_tokens.weight"),
        Rename("norm.weight", "model.embedding_norm.weight"),
        Copy("lm_head.weight", of="model.embed_tokens.weight")
        if config.tie_word_embeddings
        else Rename("lm_head.weight", "lm_head.weight"),
        *(Rename(ours + name, theirs + source) for name, source in names.items()),
        *(
            Rename(
                f"{ours}self_attn.{part}_proj.{kind}",
                f"{theirs}conv.in_proj.{kind}",
                (Rows(range(i * hidden, (i + 1) * hidden), 3 * hidden),),
            )
            for i, part in enumerate("bcx")
            for kind in ("weight", "bias")
        ),
        *(
            Rename(
                f"{ours}self_attn.taps.{i}",
                f"{theirs}conv.conv.weight",
                (Column(i, config.conv_L_cache),),
            )
            for i in range(config.conv_L_cache)
        ),
    )


def tiny_config() -> dict[str, Any]:
    """Return a config of both kinds of layers, whose feed-forward width has to be worked out."""
    return {
        "model_type": "lfm2",
        "vocab_size": 97,
        "hidden_size": 72,
        "intermediate_size": 150,
        "num_hidden_layers": 3,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
        "max_position_embeddings": 64,
        "norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "layer_types": [CONV, FULL_ATTENTION, CONV],
        "conv_L_cache": 3,
        "conv_bias": False,
        "block_auto_adjust_ff_dim": True,
        "block_ffn_dim_multiplier": 1.1,
        "block_multiple_of": 8,
    }
