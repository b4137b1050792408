"""Whether runs became slower or faster in the order in which they were made."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edgegen.report.statistics.conditions import slope_error
from edgegen.report.statistics.samples import check_positive

# A flag asks the reader to look: the usual level, and a change that is more than a trifle.
DRIFT_LEVEL = 0.05
_FEWEST = 3
_DRIFT_CHANGE = 0.05
_THROTTLED_CHANGE = 0.1
# Where the device speaks for it, too, an order suffices that chance makes in one of five.
_SUPPORTED_LEVEL = 0.2

# Of `edgegen.device.description.THERMAL_STATUS`. From moderate on Android slows things down where
# it hopes that nobody notices; from severe on it says so.
_HOT = ("moderate", "severe", "critical", "emergency", "shutdown")
_HOTTEST = _HOT[1:]


@dataclass(frozen=True)
class Drift:
    """What the order of the runs shows.

    Attributes:
        n: How many runs.
        slope_per_run: Change from one run to the next, as a share: -0.02 if each value is 2 %
            lower than the one before. The median over all pairs of runs (Theil and Sen).
        change: Change from the first run to the last by that slope, as a share.
        p_value: The probability of a trend at least so clear, in either direction, if there is
            none (Mann and Kendall, and a t-test that allows for conditions that linger: the
            larger of the two).
        drifting: Whether the values rise or fall beyond chance, by 5 % or more.
        throttled: Whether the runs became slower beyond chance, by 10 % or more (by what a
            falling rate says, or a rising time), or the device itself reported throttling.
        why: What speaks for that, or against it, in words.
    """

    n: int
    slope_per_run: float
    change: float
    p_value: float
    drifting: bool
    throttled: bool
    why: str


def drift(
    values: Sequence[float],
    started_s: Sequence[float],
    *,
    higher_is_better: bool = True,
    thermal_statuses: Sequence[str | None] = (),
    cpu_capped: bool | None = None,
) -> Drift:
    """Look for drift in samples of one quantity of one thing.

    Args:
        values: One for each run, finite and positive.
        started_s: When each run began, in seconds since any time; their order counts. Where all
            began at one time there is none, so no trend.
        higher_is_better: Whether more is better, as with rates.
        thermal_statuses: What the device told before and after runs, if it did
            (`edgegen.device.description.THERMAL_STATUS`).
        cpu_capped: Whether a CPU's frequency was capped, if the device told.

    Raises:
        ValueError: there is no value, one is not finite and positive, or there are not as many
            times as values.
    """
    check_positive(values)
    if len(values) != len(started_s):
        raise ValueError(f"{len(values)} values and {len(started_s)} times, expected as many")
    ordered = [values[at] for at in sorted(range(len(values)), key=lambda at: started_s[at])]
    timed = len(set(started_s)) > 1
    slope, falling, rising = _trend(ordered) if timed else (0.0, 1.0, 1.0)
    p_value = min(1.0, 2 * min(falling, rising))
    change = _share(slope * (len(values) - 1))
    slower_p = falling if higher_is_better else rising
    # Of speed, so that half the rate and twice the time are the same.
    slowdown = -_share(slope * (len(values) - 1) * (1 if higher_is_better else -1))

    hot = [status for status in thermal_statuses if status in _HOT]
    device = []
    if hot:
        device.append(f"its thermal status was {max(hot, key=_HOT.index)}")
    if cpu_capped:
        device.append("a CPU's frequency was capped")
    level = _SUPPORTED_LEVEL if device else DRIFT_LEVEL
    decaying = slowdown >= _THROTTLED_CHANGE and slower_p <= level
    said = f"{slowdown:.0%} slower" if slowdown > 0 else f"{-slowdown:.0%} faster"
    why = f"from first to last run {said} by the median slope, one-sided p {slower_p:.2g}"
    if len(values) > 1 and not timed:
        why = "all runs bear the same time, so they have no order"
    if device:
        why += f"; the device says that {' and '.join(device)}"
    return Drift(
        n=len(values),
        slope_per_run=_share(slope),
        change=change,
        p_value=p_value,
        drifting=abs(change) >= _DRIFT_CHANGE and p_value <= DRIFT_LEVEL,
        throttled=decaying or any(status in _HOTTEST for status in hot),
        why=why,
    )


def _trend(ordered: Sequence[float]) -> tuple[float, float, float]:
    """Return the slope of logarithms for each run, and the p-values of a fall and of a rise.

    Each is the larger of two: Mann and Kendall's, which knows ranks alone, and that of a t-test
    of the slope that allows for conditions that linger.
    """
    import numpy as np

    if len(ordered) < _FEWEST or len(set(ordered)) < 2:
        return 0.0, 1.0, 1.0
    from scipy import special, stats

    logs, order = np.log(ordered), np.arange(len(ordered))
    slope = float(stats.theilslopes(logs, order).slope)
    falling, rising = (
        float(stats.kendalltau(order, logs, alternative=way).pvalue) for way in ("less", "greater")
    )
    error = slope_error(logs)
    if error > 0:
        steepness = slope / error
        falling = max(falling, float(special.stdtr(len(ordered) - 2, steepness)))
        rising = max(rising, float(special.stdtr(len(ordered) - 2, -steepness)))
    return slope, falling, rising


def _share(log: float) -> float:
    """Return e to the `log` less 1, within what a float can hold."""
    return math.expm1(min(log, 700.0))
