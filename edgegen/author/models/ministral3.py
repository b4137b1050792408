"""Ministral 3, the language model alone: Mistral with queries scaled up at late positions."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from edgegen.author.config import (
    FULL_ATTENTION,
    SLIDING_ATTENTION,
    Assumed,
    DecoderConfig,
    decoder_fields,
)
from edgegen.author.config_reader import HARMLESS, ConfigReader
from edgegen.author.decoder import Decoder
from edgegen.author.layers import Attention, Step
from edgegen.author.models import mistral
from edgegen.author.models.llama import weight_map

__all__ = ["build", "read_config", "tiny_config", "weight_map"]

KIND = "decoder"

_QUERY_SCALE = "query_scale"
# HF's rotary embedding where config.json says none.
_USUAL_ROPE = {
    "rope_type": "yarn",
    "rope_theta": 1000000.0,
    "factor": 16.0,
    "original_max_position_embeddings": 16384,
    "beta_fast": 32.0,
    "beta_slow": 1.0,
    "mscale_all_dim": 1.0,
    "mscale": 1.0,
    "llama_4_scaling_beta": 0.1,
}


@dataclass(frozen=True)
class Ministral3Config(DecoderConfig):
    """HF's `Ministral3Config`.

    Attributes:
        llama_4_scaling_beta: How much queries grow with each trained length passed.
        trained_length: HF's `original_max_position_embeddings`.
    """

    llama_4_scaling_beta: float
    trained_length: int


def read_config(raw: Mapping[str, Any]) -> Ministral3Config:
    """Sort every key of a Ministral 3 `config.json`."""
    rope, beta = _read_scaling(raw)
    reader = ConfigReader.of_checkpoint({**raw, "rope_parameters": rope})
    window = reader.optional_integer("sliding_window")
    usual = FULL_ATTENTION if window is None else SLIDING_ATTENTION
    fields = decoder_fields(
        reader,
        "ministral3",
        Assumed(
            norm_eps=1e-5,
            num_key_value_heads=8,
            head_dim=128,
            max_position_embeddings=262144,
        ),
        layer_types=[usual] * reader.integer("num_hidden_layers"),
        sliding_window=window,
    )
    config = Ministral3Config(
        **fields,
        llama_4_scaling_beta=beta,
        trained_length=fields["rope"][usual].original_max_position_embeddings,
    )
    reader.finish(HARMLESS)
    return config


def _read_scaling(raw: Mapping[str, Any]) -> tuple[dict[str, Any], float]:
    """Split `rope_parameters` into the rotary embedding and the growth of queries beside it."""
    given = ConfigReader(raw).section("rope_parameters")
    stored = _USUAL_ROPE if given is None else raw["rope_parameters"]
    section = given or ConfigReader(_USUAL_ROPE)
    section.must_be("rope_type" if section.is_set("rope_type") else "type", "yarn")
    beta = section.number("llama_4_scaling_beta", None, least=0.0)
    # The second repeats what stands outside, and HF does not read it.
    beside = ("llama_4_scaling_beta", "max_position_embeddings")
    return {key: value for key, value in stored.items() if key not in beside}, beta


class _ScaledAttention(Attention):
    """Attention whose queries grow with their position, as HF's `Ministral3Attention`."""

    def queries(self, x: torch.Tensor, step: Step) -> torch.Tensor:
        """Map `[B, T, D]` to rotated and scaled queries `[B, T, N, H]`."""
        queries = super().queries(x, step)
        scale = step.extras.get(_QUERY_SCALE)
        return queries if scale is None else queries * scale


class _ScalingDecoder(Decoder):
    """A decoder that computes how much queries grow, as HF's `get_llama_4_attn_scale`."""

    def __init__(self, *, beta: float, trained_length: int, **parts: Any) -> None:
        super().__init__(**parts)
        self.beta = beta
        self.trained_length = trained_length

    def prepare(
        self, tokens: torch.Tensor, input_pos: torch.Tensor, kv_cache_len: int
    ) -> tuple[torch.Tensor, Step]:
        """Embed tokens `[B, T]`, and compute what all layers share; see `Decoder`."""
        x, step = super().prepare(tokens, input_pos, kv_cache_len)
        # No position reaches the trained length: they would be multiplied by 1.
        if kv_cache_len <= self.trained_length:
            return x, step
        passed = torch.floor(input_pos.float() / self.trained_length)
        scale = 1.0 + self.beta * torch.log(1.0 + passed)
        return x, replace(step, extras={_QUERY_SCALE: scale.reshape(1, -1, 1, 1)})


def build(config: Ministral3Config) -> Decoder:
    """Make the decoder, as HF's `Ministral3ForCausalLM`."""
    decoder = functools.partial(
        _ScalingDecoder, beta=config.llama_4_scaling_beta, trained_length=config.trained_length
    )
    return mistral.build(config, decoder, _ScaledAttention)


def tiny_config() -> dict[str, Any]:
    """Return a config whose trained length the tests' texts pass twice."""
    return {
        **{k: v for k, v in mistral.tiny_config().items() if k != "rope_theta"},
        "model_type": "ministral3",
        "sliding_window": None,
        "rope_parameters": {
            **_USUAL_ROPE,
            "factor": 4.0,
            "original_max_position_embeddings": 16,
            "max_position_embeddings": 64,
        },
    }
