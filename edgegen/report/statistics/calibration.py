"""What the comparison makes of recorded noise: false alarms, and slowdowns that it finds.

The noise is a long series of runs of one thing. Comparisons are cut out of it: `shuffled` draws
runs from anywhere, so that nothing lingers; `consecutive` takes neighbours as they were recorded,
with what lingered and drifted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from edgegen.report.statistics.comparison import Verdict, compare
from edgegen.report.statistics.drift import drift

Resampling = Literal["shuffled", "consecutive"]
# One side after the other; the same, compared without allowing for conditions that linger; in
# turns, always the same first; in turns, who is first drawn by lot.
Order = Literal["separate", "ranks alone", "alternating", "drawn"]


@dataclass(frozen=True)
class Calibration:
    """Verdicts on comparisons cut out of one series.

    Attributes:
        comparisons: How many.
        slower: How many said `slower`.
        faster: How many said `faster`.
    """

    comparisons: int
    slower: int
    faster: int

    @property
    def different(self) -> int:
        """How many said that there is a difference."""
        return self.slower + self.faster


def calibrate(
    series: Sequence[float],
    *,
    resampling: Resampling,
    order: Order,
    repeats: int,
    slowdown: float = 0.0,
    comparisons: int = 200,
    seed: int = 0,
) -> Calibration:
    """Compare runs of one series with each other, one side slowed down by a share.

    Args:
        series: Rates of the runs in order of time, at least two for each repeat.
        resampling: Which runs are compared.
        order: How the two sides were measured.
        repeats: Runs of each side.
        slowdown: What the candidate's rates are lowered by: 0.1 for 10 %.
        comparisons: How many comparisons to make.
        seed: Same seed, same comparisons.

    Raises:
        ValueError: the series is too short.
    """
    import numpy as np

    random = np.random.default_rng((seed, 1))
    verdicts: list[Verdict] = []
    in_turns = order in ("alternating", "drawn")
    pairs = tuple((at, at) for at in range(repeats)) if in_turns else None
    if order == "ranks alone":
        # Too few pairs to compare partners, and said to be in turns.
        pairs = ((0, 0),)
    for runs in _cuts(series, 2 * repeats, resampling, comparisons, seed):
        baseline, candidate = runs[:repeats], runs[repeats:]
        if in_turns:
            first = random.integers(2, size=repeats) if order == "drawn" else [0] * repeats
            baseline = [runs[2 * at + int(side)] for at, side in enumerate(first)]
            candidate = [runs[2 * at + 1 - int(side)] for at, side in enumerate(first)]
        slowed = [value * (1 - slowdown) for value in candidate]
        found = compare(baseline, slowed, higher_is_better=True, pairs=pairs, advise=False)
        verdicts.append(found.verdict)
    return Calibration(comparisons, verdicts.count("slower"), verdicts.count("faster"))


def drift_alarms(
    series: Sequence[float],
    *,
    resampling: Resampling,
    runs: int,
    cuts: int = 200,
    seed: int = 0,
) -> tuple[int, int]:
    """Return in how many cuts of so many runs drift was flagged, and in how many throttling.

    Raises:
        ValueError: the series is too short.
    """
    found = [drift(cut, range(runs)) for cut in _cuts(series, runs, resampling, cuts, seed)]
    return sum(each.drifting for each in found), sum(each.throttled for each in found)


def _cuts(
    series: Sequence[float], runs: int, resampling: Resampling, cuts: int, seed: int
) -> Iterator[list[float]]:
    import numpy as np

    if len(series) < runs:
        raise ValueError(f"{len(series)} runs in the series, expected at least {runs}")
    random = np.random.default_rng(seed)
    values = np.asarray(series, dtype=np.float64)
    for _ in range(cuts):
        if resampling == "shuffled":
            cut = random.choice(values, size=runs, replace=False)
        else:
            start = int(random.integers(len(series) - runs + 1))
            cut = values[start : start + runs]
        yield [float(value) for value in cut]
