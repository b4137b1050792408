"""Whether two sets of samples differ, by a test that keeps its promise for few samples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from edgegen.report.statistics.contrasts import Contrast, as_ratio, paired, unpaired
from edgegen.report.statistics.levels import LEVEL
from edgegen.report.statistics.pairs import enough_pairs
from edgegen.report.statistics.repeats import EFFECT, Way, noise_of, repeats_of
from edgegen.report.statistics.samples import FEWEST_FOR_SPREAD, check_positive, check_share

Verdict = Literal["faster", "slower", "no difference shown"]

SEPARATE = "Mann-Whitney, widened for conditions that linger"
IN_TURNS = "Mann-Whitney on interleaved runs"
PAIRED = "Wilcoxon signed-rank on interleaved pairs"


@dataclass(frozen=True)
class Comparison:
    """What two sets of samples show.

    "Faster" means better: more tokens per second, or less time, or less memory.

    Attributes:
        verdict: `faster` or `slower` if the candidate was shown to be so, at `LEVEL`.
        ratio: The candidate's value divided by the baseline's, in their own quantity: 0.9 for
            a rate that is 10 % lower, and for a time that is 10 % shorter. Hodges and Lehmann's
            estimate: the median over all ratios of a sample to one of the other side.
        ratio_low: Lower end of its interval, of confidence 1 - `LEVEL`; 1 lies outside exactly
            where the verdict tells a difference. `None` if the samples are too few for one.
        ratio_high: Its upper end.
        p_value: The probability of ratios at least so far from 1 if there is no difference.
        test: The test's name, with what it compared.
        slower_limit: The limit that was asked for: 0.05 for 5 %.
        slower_than_limit: Whether it was shown that the candidate is slower by more than the
            limit: the whole interval lies beyond it. `False` also where that is undecided.
        within_limit: Whether it was shown that it is not: the whole interval lies before it.
        limit_p_value: The probability of ratios so bad if it is slower by just the limit;
            `slower_than_limit` where it is at most half of `LEVEL`.
        repeats_advised: Where neither was shown (without a limit, that is where no difference
            was): how many repeats of each would show a slowdown of 10 %, or of twice the limit
            if that is more, in nine of ten comparisons with noise like this; at most
            `MAX_REPEATS`. `None` otherwise; with fewer than three samples of either; and where
            there are so many already: then the difference is likely smaller than that, or near
            the limit.
    """

    verdict: Verdict
    ratio: float
    ratio_low: float | None
    ratio_high: float | None
    p_value: float
    test: str
    slower_limit: float
    slower_than_limit: bool
    within_limit: bool
    limit_p_value: float
    repeats_advised: int | None


def compare(
    baseline: Sequence[float],
    candidate: Sequence[float],
    *,
    higher_is_better: bool,
    slower_limit: float = 0.0,
    pairs: Sequence[tuple[int, int]] | None = None,
    advise: bool = True,
) -> Comparison:
    """Compare samples of one quantity of two things.

    Args:
        baseline: Samples of what is compared with, finite and positive, in order of time.
        candidate: Samples of what is judged.
        higher_is_better: Whether more is better, as with rates; less is with times and memory.
        slower_limit: A slowdown up to this share is acceptable: 0.05 for 5 %, which is a rate
            of 0.95 of the baseline's, or a time of 1.05.
        pairs: What `interleaved_pairs` found, if the runs took turns. With eight or more,
            partners alone are compared, so that what changed over time falls out.
        advise: Whether to work out `repeats_advised`, which may take a second.

    Raises:
        ValueError: a side has no samples, a sample is not finite and positive, the limit is
            not at least 0 and below 1, or a pair names a sample that is not there, or twice.
    """
    check_positive(baseline)
    check_positive(candidate)
    check_share("slower_limit", slower_limit, zero=True)
    contrast, test = _contrast(baseline, candidate, pairs)
    ends = contrast.interval(LEVEL)
    beyond, before = contrast.p_below, contrast.p_above
    limit = math.log1p(-slower_limit)
    if not higher_is_better:
        beyond, before = before, beyond
        limit = math.log1p(slower_limit)
    worse, better = float(beyond(0.0)), float(before(0.0))
    verdict: Verdict = "no difference shown"
    if min(worse, better) <= LEVEL / 2:
        verdict = "slower" if worse < better else "faster"
    limit_p_value = float(beyond(limit))
    slower_than_limit = limit_p_value <= LEVEL / 2
    within_limit = bool(before(limit) <= LEVEL / 2)
    advised = None
    if advise and not slower_than_limit and not within_limit:
        advised = _advised(baseline, candidate, pairs, test, slower_limit)
    return Comparison(
        verdict=verdict,
        ratio=as_ratio(float(contrast.middle)),
        ratio_low=as_ratio(ends[0]) if ends else None,
        ratio_high=as_ratio(ends[1]) if ends else None,
        p_value=min(1.0, 2 * worse, 2 * better),
        test=test,
        slower_limit=slower_limit,
        slower_than_limit=slower_than_limit,
        within_limit=within_limit,
        limit_p_value=limit_p_value,
        repeats_advised=advised,
    )


def _contrast(
    baseline: Sequence[float],
    candidate: Sequence[float],
    pairs: Sequence[tuple[int, int]] | None,
) -> tuple[Contrast, str]:
    import numpy as np

    before, after = np.log(baseline), np.log(candidate)
    if not pairs:
        return unpaired(before, after, in_turns=False), SEPARATE
    first, second = _sides(pairs, len(baseline), len(candidate))
    if enough_pairs(len(pairs)):
        return paired(after[second] - before[first]), PAIRED
    return unpaired(before, after, in_turns=True), IN_TURNS


def _sides(
    pairs: Sequence[tuple[int, int]], baselines: int, candidates: int
) -> tuple[list[int], list[int]]:
    first, second = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    for indices, samples in ((first, baselines), (second, candidates)):
        if len(set(indices)) < len(indices) or not all(0 <= at < samples for at in indices):
            raise ValueError(
                f"pairs {list(pairs)} name samples twice, or others than {baselines} and "
                f"{candidates} samples"
            )
    return first, second


def _advised(
    baseline: Sequence[float],
    candidate: Sequence[float],
    pairs: Sequence[tuple[int, int]] | None,
    test: str,
    slower_limit: float,
) -> int | None:
    import numpy as np

    if min(len(baseline), len(candidate)) < FEWEST_FOR_SPREAD:
        return None
    effect = max(EFFECT, 2 * slower_limit)
    if effect >= 1:
        return None
    before, after = np.log(baseline), np.log(candidate)
    noise = [before, after]
    way: Way = "in turns" if pairs else "separate"
    if pairs and test == PAIRED:
        first, second = _sides(pairs, len(baseline), len(candidate))
        noise, way = [after[second] - before[first]], "paired"
    known = np.concatenate([noise_of(part) for part in noise])
    advised = repeats_of(known, effect, slower_limit, way)
    made = min(len(baseline), len(candidate))
    return advised if made < advised else None
