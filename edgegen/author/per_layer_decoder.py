"""What the decoders of Gemma 3n and 4 have in common: per-layer inputs and shared caches."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch

from edgegen.author.decoder import Decoder
from edgegen.author.layers.per_layer_input import PerLayerInputs
from edgegen.author.layers.step import Step
from edgegen.errors import ConfigError

PER_LAYER_INPUTS = "per_layer_inputs"
"""Key of `Step.extras`: `[B, T, L, E]`, of which each layer takes its own."""


class PerLayerDecoder(Decoder):
    """A `Decoder` whose layers are each told about the tokens.

    Args:
        per_layer_inputs: What they are told; `None` for nothing.
        **shared: The arguments of `Decoder`.
    """

    def __init__(self, *, per_layer_inputs: PerLayerInputs | None, **shared: Any) -> None:
        super().__init__(**shared)
        self.per_layer_inputs = per_layer_inputs
        if per_layer_inputs is not None:
            self.token_tables = (
                *self.token_tables,
                "per_layer_inputs.embed_tokens_per_layer.weight",
            )

    def prepare(
        self, tokens: torch.Tensor, input_pos: torch.Tensor, kv_cache_len: int
    ) -> tuple[torch.Tensor, Step]:
        """Embed tokens `[B, T]`, and compute what all layers share."""
        x, step = super().prepare(tokens, input_pos, kv_cache_len)
        if self.per_layer_inputs is None:
            return x, step
        told = {PER_LAYER_INPUTS: self.per_layer_inputs(tokens, x)}
        return x, dataclasses.replace(step, extras=told)


def shared_cache_layers(layer_types: Sequence[str], num_kv_shared_layers: int) -> tuple[int, ...]:
    """Return for each layer the layer whose cache it uses.

    The last `num_kv_shared_layers` read the cache of the last layer of their type before them.

    Raises:
        ConfigError: there is none of a type, or no layer is left to fill a cache.
    """
    first = len(layer_types) - num_kv_shared_layers
    owners = {kind: index for index, kind in enumerate(layer_types[: max(first, 0)])}
    if set(owners) != set(layer_types):
        raise ConfigError(
            f"config.json has num_kv_shared_layers={num_kv_shared_layers} of {len(layer_types)} "
            "layers, which leaves no layer of some type to fill the cache",
            "each of layer_types must come before the layers that share",
        )
    return tuple(i if i < first else owners[kind] for i, kind in enumerate(layer_types))
