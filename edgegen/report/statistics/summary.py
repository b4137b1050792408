"""Middle and spread of one set of samples; never a single number without its spread."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from edgegen.report.statistics.samples import FEWEST_FOR_SPREAD

_CONFIDENCE = 0.95
_RESAMPLES = 10_000
_SEED = 0


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
        low: Lower end of the bootstrap 95 % interval of the median, `None` for fewer than three
            samples. With few samples it covers less: 75 % for three, 94 % for five.
        high: Its upper end.
    """

    n: int
    median: float
    mean: float
    stddev: float | None
    minimum: float
    maximum: float
    low: float | None
    high: float | None


def summarize(values: Sequence[float]) -> Summary:
    """Summarize samples; the same samples in any order give the same summary.

    Raises:
        ValueError: there are none, or one is not a finite number.
    """
    if not values:
        raise ValueError("no samples to summarize, expected at least one")
    if not all(math.isfinite(value) for value in values):
        raise ValueError(f"samples {list(values)} are not all finite")
    low, high = _interval_of_median(values)
    below, above = statistics.median_low(values), statistics.median_high(values)
    # Sums and squares of the largest floats would not fit; powers of two change no digit.
    scale = 2.0 ** min(math.frexp(max(map(abs, values)))[1], 1023)
    scaled = [value / scale for value in values]
    return Summary(
        n=len(values),
        median=below + (above - below) / 2,
        mean=statistics.fmean(scaled) * scale,
        stddev=statistics.stdev(scaled) * scale if len(values) > 1 else None,
        minimum=min(values),
        maximum=max(values),
        low=low,
        high=high,
    )


def _interval_of_median(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Percentiles of the medians of resamples.

    Not BCa: its acceleration comes from leaving out one sample at a time, and what that does to
    a median says nothing about the median's distribution (it is the same step for half of the
    samples, or none).
    """
    if len(values) < FEWEST_FOR_SPREAD:
        return None, None
    import numpy as np

    samples = np.sort(np.asarray(values, dtype=np.float64))
    chosen = np.random.default_rng(_SEED).integers(samples.size, size=(_RESAMPLES, samples.size))
    # Samples are sorted, so the middle of the chosen places is the place of the middle.
    middle = np.partition(chosen, (samples.size // 2 - 1, samples.size // 2), axis=1)
    below = samples[middle[:, (samples.size - 1) // 2]]
    above = samples[middle[:, samples.size // 2]]
    medians = below + (above - below) / 2
    tail = (1 - _CONFIDENCE) / 2
    # A percentile that was really seen, so that rounding takes no end outside the samples.
    low = np.quantile(medians, tail, method="lower")
    high = np.quantile(medians, 1 - tail, method="higher")
    return float(low), float(high)
