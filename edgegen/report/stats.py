"""Summary statistics; never a single number without its spread."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Summary:
    """A set of samples of one quantity, in that quantity's unit.

    Attributes:
        n: How many samples.
        median: Their median.
        mean: Their mean.
        stddev: Their standard deviation (n - 1), `None` for one sample.
        minimum: The smallest.
        maximum: The largest.
    """

    n: int
    median: float
    mean: float
    stddev: float | None
    minimum: float
    maximum: float


def summarize(values: Sequence[float]) -> Summary:
    """Summarize samples.

    Raises:
        ValueError: there are none, or one is not a finite number.
    """
    if not values:
        raise ValueError("no samples to summarize, expected at least one")
    if not all(math.isfinite(value) for value in values):
        raise ValueError(f"samples {list(values)} are not all finite")
    return Summary(
        n=len(values),
        median=statistics.median(values),
        mean=statistics.fmean(values),
        stddev=statistics.stdev(values) if len(values) > 1 else None,
        minimum=min(values),
        maximum=max(values),
    )
