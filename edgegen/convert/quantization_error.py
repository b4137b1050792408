"""What storing changed of each weight."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgegen.convert.plan import WeightPlan


@dataclass(frozen=True)
class QuantizationError:
    """How far a weight's stored values are from the checkpoint's.

    Attributes:
        name: The parameter's name in the authored module.
        bits: Stored bits of each value.
        granularity: What shares a scale: `channel`, `block32` and the like, or `none` of floats.
        algorithm: ai-edge-quantizer's name of how the scales were found.
        rmse: Root of the mean squared difference.
        sqnr_db: Mean square of the values over that of the difference, in decibels; `None` if
            nothing changed.
    """

    name: str
    bits: int
    granularity: str
    algorithm: str
    rmse: float
    sqnr_db: float | None

    @classmethod
    def of(cls, plan: WeightPlan, squared_sum: float, squared_error: float) -> QuantizationError:
        """Make it from sums of squares over the whole weight."""
        granularity = "none" if plan.scale_shape is None else "channel"
        return cls(
            name=plan.weight.name,
            bits=plan.bits,
            granularity=f"block{plan.block_size}" if plan.block_size else granularity,
            algorithm=str(getattr(plan.algorithm, "value", plan.algorithm)),
            rmse=math.sqrt(squared_error / math.prod(plan.weight.shape)),
            sqnr_db=10 * math.log10(squared_sum / squared_error) if squared_error else None,
        )
