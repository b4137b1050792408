"""Gemma 4 E2B, E4B and 31B, the text model alone: wider heads in the full layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from edgegen.author.config import (
    FULL_ATTENTION,
    SLIDING_ATTENTION,
    Assumed,
    DecoderConfig,
    decoder_fields,
    read_layer_types,
)
from edgegen.author.config_reader import ConfigReader
from edgegen.author.decoder_layers import SandwichNormLayer
from edgegen.author.layers import Attention, GatedMLP, RMSNorm, layer_masks, make_rope
from edgegen.author.layers.kv_cache import Cache
from edgegen.author.layers.per_layer_input import PerLayerGate, PerLayerInputs
from edgegen.author.layers.step import Step
from edgegen.author.models.gemma import GEMMA_HARMLESS
from edgegen.author.models.gemma2 import read_window
from edgegen.author.models.gemma3n_text import per_layer_names
from edgegen.author.models.llama import embedding_names
from edgegen.author.per_layer_decoder import (
    PER_LAYER_INPUTS,
    PerLayerDecoder,
    shared_cache_layers,
)
from edgegen.author.weights import Rename, WeightMap
from edgegen.errors import ConfigError

KIND = "decoder"

_HARMLESS = {
    **GEMMA_HARMLESS,
    **dict.fromkeys(
        ("expert_intermediate_size", "moe_intermediate_size", "num_experts", "top_k_experts"),
        "of mixtures of experts, which enable_moe_block switches on",
    ),
}


@dataclass(frozen=True)
class Gemma4Config(DecoderConfig):
    """HF's `Gemma4TextConfig`.

    Attributes:
        full_head_dim: H of the full layers; `head_dim` is that of the sliding ones.
        full_key_value_heads: K of the full layers.
        attention_k_eq_v: Whether full layers take their keys for values.
        use_double_wide_mlp: Whether layers that share a cache have twice the F.
        cache_layers: For each layer the layer whose cache it uses.
        hidden_size_per_layer_input: 0 for no per-layer inputs.
    """

    attention_bias: bool
    full_head_dim: int
    full_key_value_heads: int
    attention_k_eq_v: bool
    use_double_wide_mlp: bool
    cache_layers: tuple[int, ...]
    final_logit_softcapping: float | None
    vocab_size_per_layer_input: int
    hidden_size_per_layer_input: int


def read_config(raw: Mapping[str, Any]) -> Gemma4Config:
    """Sort every key of the `config.json` of a Gemma 4 without its other parts."""
    reader = ConfigReader.of_checkpoint(_with_rotations(raw))
    layer_types = _read_layer_types(reader)
    fields = decoder_fields(
        reader,
        "gemma4_text",
        Assumed(
            hidden_act="gelu_pytorch_tanh",
            act_keys=("hidden_activation",),
            head_dim=256,
            partial_rotary=True,
            num_key_value_heads=4,
            max_position_embeddings=131072,
            tie_word_embeddings=True,
        ),
        layer_types=layer_types,
        sliding_window=read_window(reader, layer_types, 512),
    )
    k_eq_v = reader.flag("attention_k_eq_v", False)
    full_head_dim, full_heads = _read_full_heads(reader, fields, k_eq_v)
    reader.must_be("enable_moe_block", False)
    # With "vision" the tokens of an image see one another, those of a text do not.
    if reader.is_set("use_bidirectional_attention"):
        reader.must_be("use_bidirectional_attention", "vision")
    config = Gemma4Config(
        **fields,
        attention_bias=reader.flag("attention_bias", False),
        full_head_dim=full_head_dim,
        full_key_value_heads=full_heads,
        attention_k_eq_v=k_eq_v,
        use_double_wide_mlp=reader.flag("use_double_wide_mlp", False),
        cache_layers=shared_cache_layers(
            layer_types, reader.integer("num_kv_shared_layers", 0, least=0)
        ),
        final_logit_softcapping=reader.optional_number("final_logit_softcapping"),
        vocab_size_per_layer_input=reader.integer(
            "vocab_size_per_layer_input", 262144, most=1 << 24
        ),
        hidden_size_per_layer_input=reader.integer("hidden_size_per_layer_input", 256, least=0),
    )
    reader.finish(_HARMLESS)
    _check(config)
    return config


def _with_rotations(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """Fill in the rotations that HF's `Gemma4TextConfig` assumes."""
    if raw.get("rope_parameters") is not None:
        return raw
    return {
        **raw,
        "rope_parameters": {
            SLIDING_ATTENTION: {"rope_type": "default", "rope_theta": 10000.0},
            FULL_ATTENTION: {
                "rope_type": "proportional",
                "partial_rotary_factor": 0.25,
                "rope_theta": 1000000.0,
            },
        },
    }


def _read_layer_types(reader: ConfigReader) -> tuple[str, ...]:
    layers = reader.integer("num_hidden_layers")
    found = read_layer_types(
        reader, [SLIDING_ATTENTION if (i + 1) % 6 else FULL_ATTENTION for i in range(layers)]
    )
    return (*found[:-1], FULL_ATTENTION)  # as HF does it, whatever the last one is said to be


def _read_full_heads(
    reader: ConfigReader, fields: Mapping[str, Any], k_eq_v: bool
) -> tuple[int, int]:
    """Take H and K of the full layers, in the published spelling or by layer."""
    size = reader.integer("global_head_dim", 512)
    heads: int = fields["num_key_value_heads"]
    other = reader.optional_integer("num_global_key_value_heads")
    if k_eq_v and other is not None:
        heads = other
    by_layer = reader.section("per_layer_config")
    if by_layer is None:
        return size, heads
    full = [i for i, kind in enumerate(fields["layer_types"]) if kind == FULL_ATTENTION]
    found = set()
    for index in full:
        section = by_layer.section(str(index)) or ConfigReader({})
        found.add(
            (
                section.integer("head_dim", fields["head_dim"]),
                section.integer("num_key_value_heads", fields["num_key_value_heads"]),
            )
        )
        section.finish({}, f"per_layer_config {index} in config.json")
    by_layer.finish({}, "per_layer_config in config.json")
    if len(found) != 1:
        raise ConfigError(
            "config.json has a per_layer_config in which full layers differ",
            "only one head_dim and num_key_value_heads for all of them is authored",
        )
    return found.pop()


def _check(config: Gemma4Config) -> None:
    if config.num_attention_heads % config.full_key_value_heads:
        raise ConfigError(
            f"config.json has num_attention_heads={config.num_attention_heads}, which is not a "
            f"multiple of the {config.full_key_value_heads} KV heads of the full layers",
            "each KV head must serve the same number of query heads",
        )
    for name, rope in config.rope.items():
        if rope.rope_type == "default" and rope.partial_rotary_factor != 1.0:
            raise ConfigError(
                f"config.json has partial_rotary_factor={rope.partial_rotary_factor:g} for {name} "
                "with rope_type='default', expected 'proportional'",
                "transformers takes no notice of it there: take it out, or name the other type",
            )
    if config.hidden_size_per_layer_input and config.vocab_size_per_layer_input < config.vocab_size:
        raise ConfigError(
            f"config.json has vocab_size_per_layer_input={config.vocab_size_per_layer_input}, "
            f"expected at least vocab_size={config.vocab_size}",
            "each token needs a row in the table",
        )


def build(config: Gemma4Config) -> PerLayerDecoder:
    """Make the decoder, as HF's `Gemma4ForCausalLM`."""
    per_layer = None
    if config.hidden_size_per_layer_input:
        per_layer = PerLayerInputs(
            vocab_size=config.vocab_size,
            table_size=config.vocab_size_per_layer_input,
            hidden_size=config.hidden_size,
            num_hidden_layers=config.num_hidden_layers,
            per_layer_size=config.hidden_size_per_layer_input,
            norm_eps=config.norm_eps,
        )
    head_dims = {SLIDING_ATTENTION: config.head_dim, FULL_ATTENTION: config.full_head_dim}
    return PerLayerDecoder(
        per_layer_inputs=per_layer,
        vocab_size=config.vocab_size,
        hidden_size=config.hidden_size,
        layers=[_layer(config, index) for index in range(config.num_hidden_layers)],
        norm=RMSNorm(size=config.hidden_size, eps=config.norm_eps),
        ropes={name: make_rope(head_dims[name], p) for name, p in config.rope.items()},
        masks=layer_masks(config.layer_types, config.sliding_window),
        tie_word_embeddings=config.tie_word_embeddings,
        embedding_multiplier=config.hidden_size**0.5,
        final_logit_softcapping=config.final_logit_softcapping,
        cache_layers=config.cache_layers,
    )


def _layer(config: Gemma4Config, index: int) -> Gemma4Layer:
    layer_type = config.layer_types[index]
    full, own_kv = layer_type == FULL_ATTENTION, config.cache_layers[index] == index
    head_dim = config.full_head_dim if full else config.head_dim
    wide = config.use_double_wide_mlp and not own_kv

    def norm(size: int = config.hidden_size, scale: bool = True) -> RMSNorm:
        return RMSNorm(size=size, eps=config.norm_eps, scale=scale)

    per_layer = None
    if config.hidden_size_per_layer_input:
        per_layer = PerLayerGate(
            index=index,
            hidden_size=config.hidden_size,
            per_layer_size=config.hidden_size_per_layer_input,
            hidden_act=config.hidden_act,
            norm_eps=config.norm_eps,
        )
    return Gemma4Layer(
        per_layer=per_layer,
        self_attn=Attention(
            hidden_size=config.hidden_size,
            num_attention_heads=config.num_attention_heads,
            num_key_value_heads=(
                config.full_key_value_heads if full else config.num_key_value_heads
            ),
            head_dim=head_dim,
            bias=config.attention_bias,
            mask=layer_type,
            rope=layer_type,
            scale=1.0,
            q_norm=norm(head_dim),
            k_norm=norm(head_dim),
            v_norm=norm(head_dim, scale=False),
            own_kv=own_kv,
            own_v=not (config.attention_k_eq_v and full),
        ),
        mlp=GatedMLP(
            hidden_size=config.hidden_size,
            intermediate_size=config.intermediate_size * (2 if wide else 1),
            hidden_act=config.hidden_act,
        ),
        input_layernorm=norm(),
        post_attention_layernorm=norm(),
        pre_feedforward_layernorm=norm(),
        post_feedforward_layernorm=norm(),
    )


class Gemma4Layer(SandwichNormLayer):
    """A layer with an input of its own and a scale, as HF's `Gemma4TextDecoderLayer`.

    Args:
        per_layer: Lets in the layer's own input; `None` where there is none.
        **blocks: The arguments of `SandwichNormLayer`.
    """

    def __init__(self, *, per_layer: PerLayerGate | None, **blocks: nn.Module) -> None:
        super().__init__(**blocks)
        self.per_layer = per_layer
        self.layer_scalar = nn.Parameter(torch.empty(1))

    def forward(self, x: torch.Tensor, step: Step, cache: Cache) -> tuple[torch.Tensor, Cache]:
        """Map `[B, T, D]` to `[B, T, D]`, and update the cache."""
        x, cache = super().forward(x, step, cache)
        if self.per_layer is not None:
            x = x + self.per_layer(x, step.extras[PER_LAYER_INPUTS])
        return x * self.layer_scalar, cache


def weight_map(config: Gemma4Config) -> WeightMap:
    """Names are HF's own, under `model.`."""
    return (
        *embedding_names(config.tie_word_embeddings),
        *per_layer_names(config.cache_layers),
        Rename("layers.{layer}.layer_scalar", "model.layers.{layer}.layer_scalar"),
    )


def tiny_config() -> dict[str, Any]:
    """Return a config with other heads in full layers, of which the last two layers share."""
    return {
        "model_type": "gemma4_text",
        "vocab_size": 97,
        "vocab_size_per_layer_input": 97,
        "hidden_size": 64,
        "hidden_size_per_layer_input": 12,
        "intermediate_size": 96,
        "num_hidden_layers": 5,
        "num_kv_shared_layers": 2,
        "use_double_wide_mlp": True,
        "layer_types": [
            SLIDING_ATTENTION,
            FULL_ATTENTION,
            SLIDING_ATTENTION,
            SLIDING_ATTENTION,
            FULL_ATTENTION,
        ],
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "num_global_key_value_heads": 1,
        "head_dim": 24,
        "global_head_dim": 40,
        "attention_k_eq_v": True,
        "hidden_activation": "gelu_pytorch_tanh",
        "max_position_embeddings": 64,
        "rms_norm_eps": 1e-6,
        "rope_parameters": {
            FULL_ATTENTION: {
                "rope_type": "proportional",
                "partial_rotary_factor": 0.25,
                "rope_theta": 1000000.0,
            },
            SLIDING_ATTENTION: {"rope_type": "default", "rope_theta": 10000.0},
        },
        "sliding_window": 9,
        "final_logit_softcapping": 3.0,
    }
