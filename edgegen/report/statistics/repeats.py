"""How many repeats a comparison needs, by simulating it with the noise that was seen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from edgegen.report.statistics.contrasts import Contrast, paired, unpaired
from edgegen.report.statistics.levels import LEVEL
from edgegen.report.statistics.pairs import enough_pairs
from edgegen.report.statistics.samples import FEWEST_FOR_SPREAD, check_positive, check_share

if TYPE_CHECKING:
    from numpy.typing import NDArray

# `separate`: one side after the other. `in turns`: interleaved, whatever the number of pairs is
# good for. `paired`: the same, from the noise of pairs' ratios.
Way = Literal["separate", "in turns", "paired"]

EFFECT = 0.1
POWER = 0.9
# Whoever needs more had better look for what makes the noise.
MAX_REPEATS = 200
# Numbers of repeats that are tried. Fewer than five show nothing at this level, however clear.
_TRIED = (
    *range(5, 11),
    *(12, 14, 16, 18, 20, 23, 26, 30, 35, 40, 45, 50, 60, 70, 80, 100, 120, 150, MAX_REPEATS),
)
_SIMULATIONS = 400
_AT_ONCE = 2_000_000  # numbers
_SEED = 0


def repeats_for(
    values: Sequence[float],
    effect: float = EFFECT,
    power: float = POWER,
    *,
    slower_limit: float = 0.0,
    interleaved: bool = False,
) -> int:
    """Return how many repeats of each side show a slowdown, with noise like that of `values`.

    Args:
        values: Samples of one thing, finite and positive, at least three.
        effect: The slowdown to be found: 0.1 for rates that are 10 % lower.
        power: The share of comparisons that shall find it.
        slower_limit: Find that it is slower by more than this.
        interleaved: Whether the two sides will take turns.

    Returns:
        The smallest of the numbers that are tried (each up to 10, then in steps of a sixth or
        so) that is enough; `MAX_REPEATS` stands for that many or more.

    Raises:
        ValueError: fewer than three values, one that is not finite and positive, an effect,
            power or limit that is no share, or an effect not above the limit.
    """
    import numpy as np

    check_positive(values)
    check_share("effect", effect)
    check_share("power", power)
    check_share("slower_limit", slower_limit, zero=True)
    if len(values) < FEWEST_FOR_SPREAD:
        raise ValueError(f"{len(values)} samples, expected at least {FEWEST_FOR_SPREAD}")
    if effect <= slower_limit:
        raise ValueError(f"effect is {effect!r}, expected more than slower_limit {slower_limit!r}")
    way: Way = "in turns" if interleaved else "separate"
    return repeats_of(noise_of(np.log(values)), effect, slower_limit, way, power)


def noise_of(logs: NDArray[Any]) -> NDArray[Any]:
    """Return samples around 0 with the spread that samples like these come from.

    Their own mean took one degree of freedom out of their spread.
    """
    import numpy as np

    return np.asarray((logs - logs.mean()) * math.sqrt(logs.size / (logs.size - 1)))


def repeats_of(
    noise: NDArray[Any],
    effect: float,
    slower_limit: float,
    way: Way,
    power: float = POWER,
) -> int:
    """Return the same from the noise of logarithms around their mean.

    More repeats find more, so the numbers to try are halved each time.
    """
    low, high = 0, len(_TRIED) - 1
    while low < high:
        middle = (low + high) // 2
        if power_of(noise, effect, _TRIED[middle], slower_limit, way) >= power:
            high = middle
        else:
            low = middle + 1
    return int(_TRIED[low])


def power_of(
    noise: NDArray[Any],
    effect: float,
    repeats: int,
    slower_limit: float,
    way: Way,
) -> float:
    """Return the share of simulated comparisons that show a slowdown beyond the limit."""
    import numpy as np

    random = np.random.default_rng((_SEED, repeats))
    limit = math.log1p(-slower_limit)
    step = max(1, _AT_ONCE // repeats**2)
    found = 0
    for start in range(0, _SIMULATIONS, step):
        shape = min(step, _SIMULATIONS - start), repeats
        contrast = _simulated(noise, shape, math.log1p(-effect), random, way)
        found += int(contrast.shows_below(limit, LEVEL / 2).sum())
    return found / _SIMULATIONS


def _simulated(
    noise: NDArray[Any],
    shape: tuple[int, int],
    shift: float,
    random: Any,
    way: Way,
) -> Contrast:
    if way == "paired" and enough_pairs(shape[1]):
        return paired(shift + _drawn(noise, shape, random))
    baseline, candidate = _drawn(noise, shape, random), _drawn(noise, shape, random)
    if way == "paired":
        # The noise is that of ratios: each side has its share.
        baseline, candidate = baseline / math.sqrt(2), candidate / math.sqrt(2)
    if way == "in turns" and enough_pairs(shape[1]):
        return paired(shift + candidate - baseline)
    return unpaired(baseline, shift + candidate, in_turns=way != "separate")


def _drawn(noise: NDArray[Any], shape: tuple[int, int], random: Any) -> NDArray[Any]:
    """Draw from the noise seen, smoothed: few samples have gaps where the next may fall.

    Normal noise is added to each draw, and all is shrunk to keep the spread.
    """
    import numpy as np

    drawn = random.choice(noise, size=shape)
    width = noise.std() * noise.size**-0.2
    smoothed = drawn + width * random.standard_normal(shape)
    return np.asarray(smoothed / math.sqrt(1 + noise.size**-0.4))
