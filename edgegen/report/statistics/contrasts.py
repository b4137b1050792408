"""Ratios between two sets of samples, and which true ratios they rule out.

Both tests count: over all pairs of a sample here and one there (Mann and Whitney), or over all
means of two pairs' ratios (Wilcoxon's signed ranks), how many lie beyond a shift of the logarithm.
If that shift were true, the count's distribution is known whatever the noise looks like. So the
same counts give p-values for any shift and, turned around, the interval of the shift, whose
middle is Hodges and Lehmann's estimate.

All arrays have any number of comparisons in front: shape [..., shifts].
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgegen.report.statistics.chances import rank_sum_chances, signed_rank_chances
from edgegen.report.statistics.conditions import middles_error

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Contrast:
    """Logarithms of ratios, candidate over baseline, and the chances of counts of them.

    Attributes:
        shifts: The ratios' logarithms, unsorted.
        chances: `chances[k]` is the probability that at most k of them lie on one side of the
            true shift.
        error: The standard error of their middle where conditions may linger, else `None`: then
            a shift is ruled out only if a t-test with that error rules it out, too.
        freedom: Degrees of freedom of that t-test.
    """

    shifts: NDArray[Any]
    chances: NDArray[Any]
    error: NDArray[Any] | None = None
    freedom: int = 1

    @property
    def middle(self) -> NDArray[Any]:
        """Hodges and Lehmann's estimate of the shift."""
        import numpy as np

        return np.asarray(np.median(self.shifts, axis=-1))

    def p_below(self, shift: float) -> NDArray[Any]:
        """Return how likely shifts so small are, if the true one is `shift` or more.

        Ties count against: whatever broke them could not make the test more lenient.
        """
        return self._p((self.shifts >= shift).sum(-1), shift, 1)

    def p_above(self, shift: float) -> NDArray[Any]:
        """Return how likely shifts so large are, if the true one is `shift` or less."""
        return self._p((self.shifts <= shift).sum(-1), shift, -1)

    def _p(self, count: NDArray[Any], shift: float, sign: int) -> NDArray[Any]:
        import numpy as np
        from scipy import special

        by_rank = self.chances[count]
        if self.error is None:
            return np.asarray(by_rank)
        distance = sign * (self.middle - shift)
        with np.errstate(divide="ignore", invalid="ignore"):
            by_size = special.stdtr(self.freedom, distance / self.error)
        # Samples without any spread: what is not beyond the shift is not ruled out.
        by_size = np.where(self.error == 0, np.where(distance < 0, 0.0, 1.0), by_size)
        return np.asarray(np.maximum(by_rank, by_size))

    def shows_below(self, shift: float, level: float) -> NDArray[Any]:
        """Return whether `p_below(shift)` is at most `level`, without sorting for the middle."""
        import numpy as np
        from scipy import special

        by_rank = np.asarray(self.chances[(self.shifts >= shift).sum(-1)] <= level)
        if self.error is None:
            return by_rank
        # The middle lies low enough if half of the shifts do.
        highest = shift + self.error * special.stdtrit(self.freedom, level)
        low_enough = (self.shifts <= highest[..., None]).sum(-1) * 2 > self.shifts.shape[-1]
        return np.asarray(by_rank & low_enough)

    def interval(self, level: float) -> tuple[float, float] | None:
        """Return the ends of the shifts that a test at `level` does not rule out.

        Of one comparison only. `None` if it cannot rule out any.
        """
        import numpy as np
        from scipy import special

        ordered = np.sort(self.shifts)
        outside = int(np.searchsorted(self.chances, level / 2, side="right"))
        if outside == 0:
            return None
        low, high = float(ordered[outside - 1]), float(ordered[-outside])
        if self.error is not None:
            if not math.isfinite(float(self.error)):
                return None
            middle = float(self.middle)
            reach = float(self.error * special.stdtrit(self.freedom, 1 - level / 2))
            low, high = min(low, middle - reach), max(high, middle + reach)
        return low, high


def unpaired(baseline: NDArray[Any], candidate: NDArray[Any], *, in_turns: bool) -> Contrast:
    """Contrast the logarithms of every sample with every other: Mann and Whitney.

    Shapes are [..., runs], in order of time; `in_turns` says that the two sides alternated.
    """
    shifts = candidate[..., :, None] - baseline[..., None, :]
    runs = baseline.shape[-1], candidate.shape[-1]
    return Contrast(
        shifts.reshape(*shifts.shape[:-2], -1),
        rank_sum_chances(*runs),
        None if in_turns else middles_error(baseline, candidate),
        max(sum(runs) - 2, 1),
    )


def paired(shifts: NDArray[Any]) -> Contrast:
    """Contrast the logarithms of pairs' ratios, [..., pairs]: Wilcoxon's signed ranks."""
    import numpy as np

    pairs = shifts.shape[-1]
    first, second = np.triu_indices(pairs)
    return Contrast((shifts[..., first] + shifts[..., second]) / 2, signed_rank_chances(pairs))


def as_ratio(log: float) -> float:
    """Return e to the `log`, within what a float can hold."""
    return math.exp(min(max(log, math.log(sys.float_info.min)), math.log(sys.float_info.max)))
