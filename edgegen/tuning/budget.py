"""What a recipe may cost."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from edgegen.convert.plan import WeightPlan
from edgegen.errors import ConversionError
from edgegen.tuning.matrices import Matrices

FLOAT_BITS = 32

BudgetKind = Literal["bits_per_weight", "tflite_bytes", "kl"]


@dataclass(frozen=True)
class Budget:
    """What a recipe may cost.

    Attributes:
        kind: `bits_per_weight` of all matrices together, with their scales; `tflite_bytes`; or
            `kl`, measured, in nats.
        most: How much.
    """

    kind: BudgetKind
    most: float

    @property
    def is_quality(self) -> bool:
        """Whether it bounds the quality, and the size is what the search makes small."""
        return self.kind == "kl"

    def size_in(self, matrices: Matrices) -> Callable[[str, WeightPlan], int]:
        """Return what counts: the size of a matrix by its name, and how it is stored."""
        return matrices.file_bytes if self.kind == "tflite_bytes" else matrices.nbytes

    def bytes_left(self, matrices: Matrices) -> int:
        """Return what a size leaves for the matrices."""
        if self.kind == "tflite_bytes":
            return int(self.most) - matrices.graph_bytes
        return int(self.most * matrices.value_count / 8)


def require_possible(budget: Budget, matrices: Matrices) -> None:
    """Refuse a size that no recipe keeps to, or that floats do, before anything is measured.

    Raises:
        ConversionError: it is one.
    """
    if budget.is_quality:
        return
    size = budget.size_in(matrices)
    smallest = sum(
        min(size(name, stored) for stored in plans.values())
        for name, plans in matrices.plans.items()
    )
    if budget.kind == "tflite_bytes":
        floats = matrices.graph_bytes + matrices.float_bytes
        asked, least = f"{budget.most:,.0f} bytes", f"{matrices.graph_bytes + smallest:,}"
    else:
        floats = FLOAT_BITS
        # Rounded up, so that it is enough.
        least = f"{math.ceil(8e4 * smallest / matrices.value_count) / 1e4:g}"
        asked = f"{budget.most:g} bits a weight"
    if budget.most >= floats:
        raise ConversionError(
            f"{asked} are no less than the {floats:,} of float32, so there is nothing to search",
            "convert with the recipe none, or ask for less",
        )
    if smallest > budget.bytes_left(matrices):
        raise ConversionError(
            f"{asked} are too few: as {matrices.listed} the model takes at least {least}",
            "ask for at least that, or add smaller ones to --weights",
        )
