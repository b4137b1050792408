"""What the layers of one call have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch


@dataclass(frozen=True)
class Step:
    """Positions, rotations and masks of the tokens of one call.

    Rotations and masks go by the names that the decoder gave them, usually HF's layer types
    (`full_attention`, `sliding_attention`), and are computed once for all layers.

    Attributes:
        input_pos: int32 `[T]`. Rows that pad a short chunk have position 0.
        start: Scalar int32, the position of the first token: where caches are written.
        angles: Cosine and sine, each `[1, T, 1, R/2]`, by name of the rotary embedding.
        masks: Additive `[1, 1 or N, T, S]`, by name of the mask.
        extras: What an architecture hands to its own layers.
        params: int32 `[1, 1, 1, 7]`, the signature's `param_tensor` where it has one.
        rope_bases: The base of those rotations that a runtime could compute by itself.
    """

    input_pos: torch.Tensor
    start: torch.Tensor
    angles: Mapping[str, tuple[torch.Tensor, torch.Tensor]]
    masks: Mapping[str, torch.Tensor]
    extras: Mapping[str, torch.Tensor] = field(default_factory=dict)
    params: torch.Tensor | None = None
    rope_bases: Mapping[str, float] = field(default_factory=dict)

    def count(self) -> torch.Tensor:
        """Return how many of the call's tokens are real, float32 `[1, 1, 1, 1]`.

        In four dimensions, because of fewer the GPU delegate gets a broadcast difference wrong.

        Positions rise by one from `start`; a row that pads the chunk breaks the series.
        """
        if self.input_pos.shape[0] == 1:
            # One token is never padding. Left to the graph, the GPU delegates would refuse a
            # sum of constants.
            return torch.ones(1, 1, 1, 1)
        offsets = torch.arange(self.input_pos.shape[0], dtype=torch.int32)
        # Whole numbers are compared as such, so that half precision cannot blur them.
        distance = (self.input_pos - self.input_pos[:1] - offsets).float().reshape(1, 1, 1, -1)
        return one_at_zero(distance).sum(dim=-1, keepdim=True)


def one_at_zero(x: torch.Tensor) -> torch.Tensor:
    """Return 1 where the whole number `x` is 0, and 0 elsewhere, in plain arithmetic.

    Of a comparison the converter makes ONE_HOT, which the GPU delegate refuses, and of
    `relu(1 - abs(x))` a subtraction with the relu fused into it, which it gets wrong.
    """
    return torch.exp(torch.abs(x) * -1000.0)
