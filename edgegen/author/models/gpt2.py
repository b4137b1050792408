"""GPT-2, DistilGPT-2 and the models of its shape: learned positions, matrices turned around."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgegen.author.config import Assumed, DecoderConfig, decoder_fields
from edgegen.author.config_reader import HARMLESS, ConfigReader
from edgegen.author.decoder import Decoder
from edgegen.author.decoder_layers import PreNormLayer
from edgegen.author.layers import MLP, Attention, LayerNorm
from edgegen.author.weights import Copy, Drop, Entry, Rename, Rows, Transpose, View, WeightMap
from edgegen.errors import ConfigError

KIND = "decoder"

_NAMES = {
    "hidden_size": "n_embd",
    "intermediate_size": "n_inner",
    "max_position_embeddings": "n_positions",
    "num_attention_heads": "n_head",
    "num_hidden_layers": "n_layer",
}
_HARMLESS = {
    "attn_pdrop": "training only",
    "embd_pdrop": "training only",
    "gradient_checkpointing": "training only",
    "n_ctx": "the older name of n_positions, which transformers no longer reads",
    "reorder_and_upcast_attn": "about half precision; everything is computed in float32",
    "resid_pdrop": "training only",
    "summary_activation": "classification heads only",
    "summary_first_dropout": "classification heads only",
    "summary_proj_to_labels": "classification heads only",
    "summary_type": "classification heads only",
    "summary_use_proj": "classification heads only",
    "task_specific_params": "read by pipelines",
}


@dataclass(frozen=True)
class GPT2Config(DecoderConfig):
    """HF's `GPT2Config`.

    Attributes:
        scale_attn_weights: Whether scores are multiplied by `H ** -0.5`.
        scale_attn_by_inverse_layer_idx: Whether they are divided by the layer's number.
    """

    scale_attn_weights: bool
    scale_attn_by_inverse_layer_idx: bool


def read_config(raw: Mapping[str, Any]) -> GPT2Config:
    """Sort every key of a GPT-2 `config.json`.

    Raises:
        ConfigError: a key asks for what is not authored.
    """
    reader = ConfigReader.of_checkpoint(raw, names=_NAMES, classes="GPT2")
    hidden = reader.integer("hidden_size")
    config = GPT2Config(
        **decoder_fields(
            reader,
            "gpt2",
            Assumed(
                hidden_act="gelu_new",
                act_keys=("activation_function",),
                norm_eps=1e-5,
                norm_eps_key="layer_norm_epsilon",
                max_position_embeddings=1024,
                intermediate_size=4 * hidden,
                tie_word_embeddings=True,
                has_rope=False,
            ),
        ),
        scale_attn_weights=reader.flag("scale_attn_weights", True),
        scale_attn_by_inverse_layer_idx=reader.flag("scale_attn_by_inverse_layer_idx", False),
    )
    reader.must_be("add_cross_attention", False)
    reader.finish({**HARMLESS, **_HARMLESS})
    if hidden % config.num_attention_heads:
        raise ConfigError(
            f"config.json has n_embd={hidden}, which is not a multiple of "
            f"n_head={config.num_attention_heads}",
            "each head has the same number of channels",
        )
    return config


def build(config: GPT2Config) -> Decoder:
    """Make the decoder, as HF's `GPT2LMHeadModel`."""

    def norm() -> LayerNorm:
        return LayerNorm(size=config.hidden_size, eps=config.norm_eps)

    def layer(index: int) -> PreNormLayer:
        scale = config.head_dim**-0.5 if config.scale_attn_weights else 1.0
        if config.scale_attn_by_inverse_layer_idx:
            scale /= index + 1
        return PreNormLayer(
            self_attn=Attention(
                hidden_size=config.hidden_size,
                num_attention_heads=config.num_attention_heads,
                num_key_value_heads=config.num_key_value_heads,
                head_dim=config.head_dim,
                bias=True,
                rope=None,
                scale=scale,
            ),
            mlp=MLP(
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
        layers=[layer(index) for index in range(config.num_hidden_layers)],
        norm=norm(),
        ropes={},
        tie_word_embeddings=config.tie_word_embeddings,
        max_position_embeddings=config.max_position_embeddings,
    )


def weight_map(config: GPT2Config) -> WeightMap:
    """Matrices are turned around, and one holds queries, keys and values.

    Names begin with `transformer.` or, as in the first published files, with nothing.
    """
    return (
        *_entries("transformer.", config),
        *_entries("", config),
        *([] if config.tie_word_embeddings else [Rename("lm_head.weight", "lm_head.weight")]),
    )


def _entries(prefix: str, config: GPT2Config) -> list[Entry]:
    hidden = config.hidden_size
    ours, theirs = "layers.{layer}.", f"{prefix}h.{{layer}}."
    places: dict[str, tuple[str, Rows | None]] = {
        f"self_attn.{name}_proj": (
            "attn.c_attn",
            Rows(range(i * hidden, (i + 1) * hidden), 3 * hidden),
        )
        for i, name in enumerate("qkv")
    }
    places |= {
        "self_attn.o_proj": ("attn.c_proj", None),
        "mlp.fc1": ("mlp.c_fc", None),
        "mlp.fc2": ("mlp.c_proj", None),
    }
    entries: list[Entry] = [
        Rename("embed_tokens.weight", f"{prefix}wte.weight"),
        Rename("embed_positions.weight", f"{prefix}wpe.weight"),
        Drop(f"{theirs}attn.bias", "the causal mask, computed in the graph"),
        Drop(f"{theirs}attn.masked_bias", "what masked scores become, computed in the graph"),
    ]
    for name, (source, rows) in places.items():
        picked: tuple[View, ...] = () if rows is None else (rows,)
        turned = (Transpose(), *picked)
        entries.append(Rename(f"{ours}{name}.weight", f"{theirs}{source}.weight", turned))
        entries.append(Rename(f"{ours}{name}.bias", f"{theirs}{source}.bias", picked))
    if config.tie_word_embeddings:
        entries.append(Copy("lm_head.weight", of=f"{prefix}wte.weight"))
    for kind in ("weight", "bias"):
        entries.append(Rename(f"norm.{kind}", f"{prefix}ln_f.{kind}"))
        entries.append(Rename(f"{ours}input_layernorm.{kind}", f"{theirs}ln_1.{kind}"))
        entries.append(Rename(f"{ours}post_attention_layernorm.{kind}", f"{theirs}ln_2.{kind}"))
    return entries


def tiny_config() -> dict[str, Any]:
    """Return a config whose feed-forward width is not four times the hidden size."""
    return {
        "model_type": "gpt2",
        "vocab_size": 97,
        "n_embd": 60,
        "n_inner": 136,
        "n_layer": 2,
        "n_head": 5,
        "n_positions": 64,
        "activation_function": "gelu_new",
        "layer_norm_epsilon": 1e-5,
    }
