"""Gemma 3n E2B and E4B, the text model alone: per-layer inputs, AltUp, shared caches."""

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
from edgegen.author.gemma3n_decoder import Gemma3nDecoder, Gemma3nLayer
from edgegen.author.layers import Attention, GatedMLP, RMSNorm, layer_masks, make_rope
from edgegen.author.layers.altup import AltUp, GaussianTopkMLP, Laurel
from edgegen.author.layers.per_layer_input import PerLayerGate, PerLayerInputs
from edgegen.author.models.gemma import GEMMA_HARMLESS
from edgegen.author.models.gemma2 import read_window
from edgegen.author.models.gemma3_text import with_two_rotations
from edgegen.author.models.llama import LAYER_NAMES, embedding_names
from edgegen.author.per_layer_decoder import shared_cache_layers
from edgegen.author.weights import Drop, WeightMap, same_names
from edgegen.errors import ConfigError

KIND = "decoder"

_HARMLESS = {
    **GEMMA_HARMLESS,
    "altup_coef_clip": "training only",
    "altup_lr_multiplier": "training only",
    "query_pre_attn_scalar": "of older versions; the scores of Gemma 3n are not scaled",
}


@dataclass(frozen=True)
class Gemma3nConfig(DecoderConfig):
    """HF's `Gemma3nTextConfig`.

    Attributes:
        intermediate_sizes: F of each layer.
        activation_sparsity_pattern: Share of gates that stay shut, for each layer.
        cache_layers: For each layer the layer whose cache it uses.
    """

    attention_bias: bool
    intermediate_sizes: tuple[int, ...]
    activation_sparsity_pattern: tuple[float, ...]
    cache_layers: tuple[int, ...]
    final_logit_softcapping: float
    vocab_size_per_layer_input: int
    hidden_size_per_layer_input: int
    altup_active_idx: int
    altup_correct_scale: bool
    altup_num_inputs: int
    laurel_rank: int


def read_config(raw: Mapping[str, Any]) -> Gemma3nConfig:
    """Sort every key of the `config.json` of a Gemma 3n without its other parts."""
    raw = with_two_rotations(raw)
    sizes = raw.get("intermediate_size")
    if isinstance(sizes, list) and sizes:  # one for each layer; `decoder_fields` takes the first
        raw = {**raw, "intermediate_size": sizes[0], "intermediate_sizes": sizes}
    reader = ConfigReader.of_checkpoint(raw)
    layers = reader.integer("num_hidden_layers")
    layer_types = read_layer_types(
        reader, [SLIDING_ATTENTION if (i + 1) % 5 else FULL_ATTENTION for i in range(layers)]
    )
    fields = decoder_fields(
        reader,
        "gemma3n_text",
        Assumed(
            hidden_act="gelu_pytorch_tanh",
            act_keys=("hidden_activation",),
            head_dim=256,
            num_key_value_heads=2,
            max_position_embeddings=32768,
            intermediate_size=16384,
            tie_word_embeddings=True,
        ),
        layer_types=layer_types,
        sliding_window=read_window(reader, layer_types, 512),
    )
    intermediate_sizes = reader.integers(
        "intermediate_sizes",
        [fields["intermediate_size"]] * layers,
        count=layers,
        least=1,
        most=1 << 20,
    )
    config = Gemma3nConfig(
        **fields,
        attention_bias=reader.flag("attention_bias", False),
        intermediate_sizes=intermediate_sizes,
        activation_sparsity_pattern=_read_sparsity(reader, layers),
        cache_layers=shared_cache_layers(
            layer_types, reader.integer("num_kv_shared_layers", 15, least=0)
        ),
        final_logit_softcapping=reader.number("final_logit_softcapping", 30.0),
        vocab_size_per_layer_input=reader.integer(
            "vocab_size_per_layer_input", 262144, most=1 << 24
        ),
        hidden_size_per_layer_input=reader.integer("hidden_size_per_layer_input", 256),
        altup_active_idx=reader.integer("altup_active_idx", 0, least=0),
        altup_correct_scale=reader.flag("altup_correct_scale", True),
        altup_num_inputs=reader.integer("altup_num_inputs", 4, most=64),
        laurel_rank=reader.integer("laurel_rank", 64),
    )
    reader.finish(_HARMLESS)
    if config.altup_active_idx >= config.altup_num_inputs:
        raise ConfigError(
            f"config.json has altup_active_idx={config.altup_active_idx}, expected one of "
            f"altup_num_inputs={config.altup_num_inputs}",
            "correct config.json",
        )
    return config


def _read_sparsity(reader: ConfigReader, layers: int) -> tuple[float, ...]:
    sparse = 10 if layers > 10 else 0
    shares = reader.numbers(
        "activation_sparsity_pattern",
        layers,
        default=[0.95] * sparse + [0.0] * (layers - sparse),
        least=0.0,
    )
    if any(share >= 1.0 for share in shares):
        raise ConfigError(
            f"config.json has activation_sparsity_pattern={list(shares)}, expected shares below 1",
            "correct config.json",
        )
    return shares


def build(config: Gemma3nConfig) -> Gemma3nDecoder:
    """Make the decoder, as HF's `Gemma3nForCausalLM`."""
    return Gemma3nDecoder(
        per_layer_inputs=PerLayerInputs(
            vocab_size=config.vocab_size,
            table_size=config.vocab_size_per_layer_input,
            hidden_size=config.hidden_size,
            num_hidden_layers=config.num_hidden_layers,
            per_layer_size=config.hidden_size_per_layer_input,
            norm_eps=config.norm_eps,
        ),
        altup_num_inputs=config.altup_num_inputs,
        vocab_size=config.vocab_size,
        hidden_size=config.hidden_size,
        layers=[_layer(config, index) for index in range(config.num_hidden_layers)],
        norm=RMSNorm(size=config.hidden_size, eps=config.norm_eps),
        ropes={name: make_rope(config.head_dim, p) for name, p in config.rope.items()},
        masks=layer_masks(config.layer_types, config.sliding_window),
        tie_word_embeddings=config.tie_word_embeddings,
        embedding_multiplier=config.hidden_size**0.5,
        final_logit_softcapping=config.final_logit_softcapping,
        cache_layers=config.cache_layers,
    )


def _layer(config: Gemma3nConfig, index: int) -> Gemma3nLayer:
    layer_type = config.layer_types[index]
    sparsity = config.activation_sparsity_pattern[index]

    def norm(size: int, scale: bool = True) -> RMSNorm:
        return RMSNorm(size=size, eps=config.norm_eps, scale=scale)

    shape: dict[str, Any] = {
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_sizes[index],
        "hidden_act": config.hidden_act,
    }
    return Gemma3nLayer(
        self_attn=Attention(
            hidden_size=config.hidden_size,
            num_attention_heads=config.num_attention_heads,
            num_key_value_heads=config.num_key_value_heads,
            head_dim=config.head_dim,
            bias=config.attention_bias,
            mask=layer_type,
            rope=layer_type,
            scale=1.0,
            q_norm=norm(config.head_dim),
            k_norm=norm(config.head_dim),
            v_norm=norm(config.head_dim, scale=False),
            own_kv=config.cache_layers[index] == index,
        ),
        mlp=GaussianTopkMLP(**shape, sparsity=sparsity) if sparsity else GatedMLP(**shape),
        input_layernorm=norm(config.hidden_size),
        post_attention_layernorm=norm(config.hidden_size),
        pre_feedforward_layernorm=norm(config.hidden_size),
        post_feedforward_layernorm=norm(config.hidden_size),
        altup=AltUp(
            hidden_size=config.hidden_size,
            num_inputs=config.altup_num_inputs,
            active_idx=config.altup_active_idx,
            correct_scale=config.altup_correct_scale,
            norm_eps=config.norm_eps,
        ),
        laurel=Laurel(
            hidden_size=config.hidden_size, rank=config.laurel_rank, norm_eps=config.norm_eps
        ),
        per_layer=PerLayerGate(
            index=index,
            hidden_size=config.hidden_size,
            per_layer_size=config.hidden_size_per_layer_input,
            hidden_act=config.hidden_act,
            norm_eps=config.norm_eps,
        ),
    )


# What a layer holds beside the names that all decoders share, as HF has it and as we do.
_LAYER_NAMES = (
    "altup.correct_output_scale",
    "altup.correction_coefs.weight",
    "altup.prediction_coefs.weight",
    "altup.modality_router.weight",
    "altup.router_norm.weight",
    "laurel.linear_left.weight",
    "laurel.linear_right.weight",
    "laurel.post_laurel_norm.weight",
)
GATE_NAMES = (
    "per_layer_input_gate.weight",
    "per_layer_projection.weight",
    "post_per_layer_input_norm.weight",
)
PER_LAYER_NAMES = (
    "embed_tokens_per_layer.weight",
    "per_layer_model_projection.weight",
    "per_layer_projection_norm.weight",
)


def weight_map(config: Gemma3nConfig) -> WeightMap:
    """Names are HF's own, under `model.`."""
    return (
        *embedding_names(config.tie_word_embeddings),
        *per_layer_names(config.cache_layers),
        *same_names("model.layers.{layer}.", _LAYER_NAMES, "layers.{layer}."),
        *same_names(
            "model.", ("altup_projections.{i}.weight", "altup_unembed_projections.{i}.weight")
        ),
        *(
            ()
            if config.altup_correct_scale
            else (Drop("model.layers.{layer}.altup.correct_output_scale", "switched off"),)
        ),
    )


def per_layer_names(cache_layers: tuple[int, ...]) -> WeightMap:
    """Return the entries for layers with inputs of their own and shared caches."""
    shared = [index for index, owner in enumerate(cache_layers) if owner != index]
    return (
        *same_names("model.", PER_LAYER_NAMES, "per_layer_inputs."),
        *same_names("model.layers.{layer}.", LAYER_NAMES, "layers.{layer}."),
        *same_names("model.layers.{layer}.", GATE_NAMES, "layers.{layer}.per_layer."),
        *(
            Drop(f"model.layers.{index}.self_attn.{name}.*", "it reads another layer's cache")
            for index in shared
            for name in ("k_proj", "v_proj", "k_norm", "v_norm")
        ),
    )


def tiny_config() -> dict[str, Any]:
    """Return a config with sparse and dense, sliding and full, own and shared layers."""
    return {
        "model_type": "gemma3n_text",
        "vocab_size": 101,
        "vocab_size_per_layer_input": 97,
        "hidden_size": 64,
        "hidden_size_per_layer_input": 12,
        "intermediate_size": [96, 96, 80, 96, 112],
        "activation_sparsity_pattern": [0.9, 0.0, 0.5, 0.95, 0.0],
        "num_hidden_layers": 5,
        "num_kv_shared_layers": 2,
        "layer_types": [
            SLIDING_ATTENTION,
            FULL_ATTENTION,
            SLIDING_ATTENTION,
            SLIDING_ATTENTION,
            FULL_ATTENTION,
        ],
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 24,
        "altup_num_inputs": 3,
        "altup_active_idx": 0,
        "laurel_rank": 8,
        "hidden_activation": "gelu_pytorch_tanh",
        "max_position_embeddings": 64,
        "rms_norm_eps": 1e-6,
        "rope_theta": 1000000.0,
        "rope_local_base_freq": 10000.0,
        "sliding_window": 9,
        "final_logit_softcapping": 3.0,
    }
