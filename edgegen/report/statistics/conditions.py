"""How much less runs tell that were made under conditions that linger.

Neighbouring runs share what else the machine does, its clock and its temperature. Two series of
such runs, one after the other, differ more often than independent samples would, and a series
seems to rise or fall more often. Here are the standard errors with that allowed for.

The noise is taken as that of single runs on top of conditions that linger: neighbours correlate
by some r, the next but one by 0.8 r, and so on. Recorded series fell like that
(`benchmarks/data/`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LINGERING = 0.8
_HIGHEST = 0.9
# Few runs cannot tell their correlation well, so it is taken that many standard errors higher:
# for verdicts, and for flags, which had better miss less.
_CAUTION_OF_VERDICTS = 1.0
_CAUTION_OF_FLAGS = 0.5


def middles_error(baseline: NDArray[Any], candidate: NDArray[Any]) -> NDArray[Any]:
    """Return the standard error of the difference between two series' middles.

    Both have shape [..., runs], in order of time; infinite where there are too few runs to tell.
    """
    import numpy as np

    both = [series - series.mean(-1, keepdims=True) for series in (baseline, candidate)]
    runs = sum(series.shape[-1] for series in both)
    found = _neighbours(both)
    # What is computed around the series' own means comes out too low by about this.
    found = found + (1 + 3 * found) / (runs / 2) + _CAUTION_OF_VERDICTS / math.sqrt(runs)
    squares, freedom, share = np.zeros(()), np.zeros(()), np.zeros(())
    for series in both:
        inflation = _inflation(found, series.shape[-1])
        squares = squares + np.square(series).sum(-1)
        freedom = freedom + series.shape[-1] - inflation
        share = share + inflation / series.shape[-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        error = np.sqrt(squares / freedom * share)
    return np.where(freedom > 1e-9, error, np.inf)


def slope_error(series: NDArray[Any]) -> float:
    """Return the standard error of the slope of a series [runs] in order of time, three or more."""
    import numpy as np

    runs = series.shape[-1]
    steps = np.arange(runs) - (runs - 1) / 2
    rest = series - series.mean() - steps * (steps * series).sum() / np.square(steps).sum()
    found = _neighbours([rest])
    found = found + (2 + 4 * found) / runs + _CAUTION_OF_FLAGS / math.sqrt(runs)
    inflation = float(_inflation(found, runs))
    freedom = runs - 1 - inflation
    if freedom <= 0:
        return math.inf
    variance = np.square(rest).sum() / freedom * inflation
    return math.sqrt(float(variance / np.square(steps).sum()))


def _neighbours(several: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Return the correlation between neighbouring runs of all series.

    That of ranks, so that one outlier does not hide it.
    """
    import numpy as np
    from scipy import stats

    products, squares = np.zeros(()), np.zeros(())
    for series in several:
        if (runs := series.shape[-1]) < 2:
            continue
        ranks = stats.rankdata(series, axis=-1) - (runs + 1) / 2
        products = products + (ranks[..., 1:] * ranks[..., :-1]).sum(-1) * runs / (runs - 1)
        squares = squares + np.square(ranks).sum(-1)
    # Where all runs are equal, nothing lingers that could be seen.
    return np.where(squares > 0, products / np.where(squares > 0, squares, 1), -1.0)


def _inflation(correlation: NDArray[Any], runs: int) -> NDArray[Any]:
    """Return the variance of the runs' mean, in that of the mean of independent runs."""
    import numpy as np

    weights = sum(2 * (1 - lag / runs) * _LINGERING ** (lag - 1) for lag in range(1, runs))
    return np.asarray(1 + np.clip(correlation, 0, _HIGHEST) * weights)
