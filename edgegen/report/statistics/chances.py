"""How far chance alone takes the counts of rank tests: their distributions, cumulated.

Exact for sizes that benchmarks have. scipy has the same distributions inside its tests, which
give a p-value for one shift only; an interval needs the whole distribution.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Beyond, the normal distribution is taken; where chances are small it says a little more than is
# true, so that no test becomes more lenient by it.
EXACT_PRODUCTS = 10_000
EXACT_PAIRS = 200


@functools.cache
def rank_sum_chances(first: int, second: int) -> NDArray[Any]:
    """Return, for each k, the probability that Mann and Whitney's U is at most k.

    Args:
        first: Samples of one side.
        second: Samples of the other, which are like them; no two are equal.
    """
    import numpy as np

    if first > second:
        return rank_sum_chances(second, first)
    if first * second > EXACT_PRODUCTS:
        mean = first * second / 2
        return _normal_chances(mean, mean * (first + second + 1) / 6, first * second)
    # The largest of all is one of the first (then it beats all of the second) or of the second.
    row = [np.ones(1)] * (second + 1)
    for i in range(1, first + 1):
        next_row = [np.ones(1)]
        for j in range(1, second + 1):
            chances = np.zeros(i * j + 1)
            chances[j:] += i / (i + j) * row[j]
            chances[: i * (j - 1) + 1] += j / (i + j) * next_row[j - 1]
            next_row.append(chances)
        row = next_row
    return _cumulated(row[second])


@functools.cache
def signed_rank_chances(pairs: int) -> NDArray[Any]:
    """Return, for each k, the probability that Wilcoxon's signed-rank sum is at most k."""
    import numpy as np

    highest = pairs * (pairs + 1) // 2
    if pairs > EXACT_PAIRS:
        return _normal_chances(highest / 2, highest * (2 * pairs + 1) / 12, highest)
    chances = np.ones(1)
    for rank in range(1, pairs + 1):
        zeros = np.zeros(rank)
        # Each rank belongs to a rise or to a fall.
        chances = (np.concatenate([chances, zeros]) + np.concatenate([zeros, chances])) / 2
    return _cumulated(chances)


def _cumulated(chances: NDArray[Any]) -> NDArray[Any]:
    import numpy as np

    summed = np.cumsum(chances)
    # Sums of rounded terms end a hair beside 1.
    return np.asarray(summed / summed[-1])


def _normal_chances(mean: float, variance: float, highest: int) -> NDArray[Any]:
    import numpy as np
    from scipy import special

    counts = np.arange(highest + 1)
    return np.asarray(special.ndtr((counts + 0.5 - mean) / math.sqrt(variance)))
