"""What samples and shares must be."""

from __future__ import annotations

import math
from collections.abc import Sequence

# Two samples have a spread, but one that says next to nothing about the next sample.
FEWEST_FOR_SPREAD = 3


def check_positive(values: Sequence[float]) -> None:
    """Refuse samples that have no ratio.

    Raises:
        ValueError: there are none, or one is not finite and positive.
    """
    if not len(values):
        raise ValueError("no samples, expected at least one")
    for value in values:
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"a sample is {value!r}, expected a finite number above 0")


def check_share(name: str, value: float, *, zero: bool = False) -> None:
    """Refuse what is no share between 0 and 1, neither included (but 0, if `zero`).

    Raises:
        ValueError: it is none.
    """
    if not (0 < value < 1 or (zero and value == 0)):
        raise ValueError(f"{name} is {value!r}, expected {'>=' if zero else '>'} 0 and < 1")
