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
    """

    input_pos: torch.Tensor
    start: torch.Tensor
    angles: Mapping[str, tuple[torch.Tensor, torch.Tensor]]
    masks: Mapping[str, torch.Tensor]
    extras: Mapping[str, torch.Tensor] = field(default_factory=dict)

    def count(self) -> torch.Tensor:
        """Return how many of the call's tokens are real, a scalar int32.

        Positions rise by one from `start`; a row that pads the chunk breaks the series.
        """
        offsets = torch.arange(self.input_pos.shape[0], dtype=torch.int32)
        real = torch.where(
            self.input_pos == offsets + self.start,
            torch.ones((), dtype=torch.int32),
            torch.zeros((), dtype=torch.int32),
        )
        return real.sum(dtype=torch.int32)
