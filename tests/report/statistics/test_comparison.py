from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats

from edgegen.report.statistics import MAX_REPEATS, Comparison, compare

POSITIVE = st.floats(5e-324, 1.7e308, allow_subnormal=True)
SAMPLES = st.lists(POSITIVE, min_size=1, max_size=12)
# Far enough from each other that no rounding makes or breaks a tie.
ROUND = st.lists(st.integers(1000, 3000), min_size=1, max_size=12)
SWAPPED = {"faster": "slower", "slower": "faster", "no difference shown": "no difference shown"}


def quick(baseline: Any, candidate: Any, **options: Any) -> Comparison:
    options.setdefault("higher_is_better", True)
    return compare(baseline, candidate, advise=False, **options)


def in_turns(samples: list[Any]) -> tuple[tuple[int, int], ...]:
    return tuple((at, at) for at in range(len(samples)))


def noise(seed: int, runs: int, spread: float = 0.1) -> Any:
    return 100 * np.exp(np.random.default_rng(seed).normal(0, spread, runs))


# Known answers.


@pytest.mark.parametrize("runs", [(5, 5), (6, 9), (7, 3), (30, 20)])
@pytest.mark.parametrize("seed", range(3))
def test_interleaved_runs_are_tested_as_scipy_does(runs: tuple[int, int], seed: int) -> None:
    baseline, candidate = noise(seed, runs[0]), 1.1 * noise(seed + 50, runs[1])
    found = quick(baseline, candidate, pairs=[(0, 0), (1, 1)])
    expected = stats.mannwhitneyu(candidate, baseline, method="exact")
    ratios = np.log(np.divide.outer(candidate, baseline)).ravel()

    assert found.test == "Mann-Whitney on interleaved runs"
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-9)
    assert found.ratio == pytest.approx(math.exp(np.median(ratios)))


@pytest.mark.parametrize("runs", [8, 11, 30])
@pytest.mark.parametrize("seed", range(3))
def test_pairs_are_tested_as_scipy_does(runs: int, seed: int) -> None:
    baseline, candidate = noise(seed, runs), 1.1 * noise(seed + 50, runs)
    found = quick(baseline, candidate, pairs=in_turns(baseline))
    logs = np.log(candidate / baseline)
    means = [(logs[i] + logs[j]) / 2 for i in range(runs) for j in range(i, runs)]

    assert found.test == "Wilcoxon signed-rank on interleaved pairs"
    assert found.p_value == pytest.approx(stats.wilcoxon(logs, method="exact").pvalue, rel=1e-9)
    assert found.ratio == pytest.approx(math.exp(np.median(means)))


@pytest.mark.parametrize("seed", range(20))
def test_one_after_the_other_is_never_less_careful(seed: int) -> None:
    baseline, candidate = noise(seed, 10), 1.2 * noise(seed + 50, 10)
    apart = quick(baseline, candidate)
    turns = quick(baseline, candidate, pairs=[(0, 0)])

    assert apart.test == "Mann-Whitney, widened for conditions that linger"
    assert apart.p_value >= turns.p_value
    assert apart.ratio == turns.ratio
    assert apart.ratio_low is not None
    assert apart.ratio_high is not None
    assert turns.ratio_low is not None
    assert turns.ratio_high is not None
    assert apart.ratio_low <= turns.ratio_low
    assert apart.ratio_high >= turns.ratio_high


def test_five_runs_without_overlap_decide() -> None:
    baseline, candidate = (100.0, 101.0, 99.0, 102.0, 98.0), (51.0, 50.0, 49.0, 52.0, 50.5)

    assert compare(baseline, candidate, higher_is_better=True, slower_limit=0.05) == Comparison(
        verdict="slower",
        ratio=pytest.approx(0.505, abs=0.001),
        ratio_low=pytest.approx(0.48, abs=0.01),
        ratio_high=pytest.approx(0.53, abs=0.01),
        p_value=pytest.approx(2 / 252),
        test="Mann-Whitney, widened for conditions that linger",
        slower_limit=0.05,
        slower_than_limit=True,
        within_limit=False,
        limit_p_value=pytest.approx(1 / 252),
        repeats_advised=None,
    )
    assert quick(baseline, candidate, higher_is_better=False).verdict == "faster"


@pytest.mark.parametrize("runs", [1, 2, 3, 4])
def test_four_runs_never_decide(runs: int) -> None:
    found = quick([100.0 + run for run in range(runs)], [1.0 + run / 100 for run in range(runs)])

    assert found.verdict == "no difference shown"
    assert (found.ratio_low, found.ratio_high) == (None, None)


def test_samples_without_spread_decide() -> None:
    same = quick([5.0] * 6, [5.0] * 6)
    less = quick([5.0] * 6, [4.0] * 6, higher_is_better=False)

    assert (same.verdict, same.p_value, same.ratio) == ("no difference shown", 1.0, 1.0)
    assert (less.verdict, less.ratio_low) == ("faster", pytest.approx(0.8))


def test_conditions_that_changed_between_are_no_difference() -> None:
    """Long stretches of fast and of slow runs, which the ranks alone take for a difference."""
    slow, fast = [98.0, 99.0, 97.0, 98.5, 97.5, 99.5], [121.0, 119.0, 120.0, 122.0, 118.0, 120.5]
    baseline, candidate = slow + slow[:4] + fast[:2], fast + slow[3:5] + fast[2:]

    assert stats.mannwhitneyu(baseline, candidate).pvalue < 0.01
    assert quick(baseline, candidate).verdict == "no difference shown"


def test_drift_falls_out_of_pairs() -> None:
    """Rates fall by half while both take turns; the candidate is 5 % slower all the time."""
    falling = np.linspace(200, 100, 12)
    shaken = falling * (1 + 0.01 * np.sin(np.arange(12) * 2.4))
    pairs = in_turns(list(falling))

    assert quick(falling, 0.95 * shaken, pairs=pairs).verdict == "slower"
    assert quick(falling, 0.95 * shaken, pairs=[(0, 0)]).verdict == "no difference shown"


def test_no_pairs_are_one_after_the_other() -> None:
    baseline, candidate = noise(1, 10), noise(2, 10)

    assert quick(baseline, candidate, pairs=()) == quick(baseline, candidate)


def test_only_partners_are_compared() -> None:
    baseline = noise(1, 9)
    alone = quick(baseline[:8], baseline[:8] * 0.9, pairs=in_turns(baseline[:8]))

    assert quick(baseline, baseline[:8] * 0.9, pairs=in_turns(baseline[:8])) == alone
    assert alone.verdict == "slower"


# The limit.


def test_the_limit_is_decided_by_the_whole_interval() -> None:
    baseline = noise(3, 12, 0.01)

    def limited(share: float, **options: Any) -> tuple[bool, bool]:
        found = quick(baseline, baseline * share, pairs=in_turns(baseline), **options)
        return found.slower_than_limit, found.within_limit

    assert limited(0.9, slower_limit=0.05) == (True, False)
    assert limited(0.97, slower_limit=0.05) == (False, True)
    assert limited(1.2, slower_limit=0.05) == (False, True)
    assert limited(1.1, slower_limit=0.05, higher_is_better=False) == (True, False)
    assert limited(1.03, slower_limit=0.05, higher_is_better=False) == (False, True)


def test_slower_but_perhaps_within_the_limit_is_undecided_and_advised() -> None:
    baseline = noise(4, 12, 0.02)
    near = baseline * 0.93 * noise(5, 12, 0.05) / 100
    found = compare(
        baseline, near, higher_is_better=True, slower_limit=0.05, pairs=in_turns(baseline)
    )

    assert (found.verdict, found.slower_than_limit, found.within_limit) == ("slower", False, False)
    assert found.repeats_advised in range(13, 31)


def test_more_repeats_are_advised_until_they_would_have_found_it() -> None:
    def advised(repeats: int) -> int | None:
        found = compare(noise(6, repeats), noise(7, repeats), higher_is_better=True)
        assert found.verdict == "no difference shown"
        return found.repeats_advised

    few, many = advised(5), advised(150)
    assert few is not None
    assert few > 20
    assert many is None


def test_what_is_decided_or_has_too_few_runs_gets_no_advice() -> None:
    assert compare([9.0, 9.1], [9.2, 9.3], higher_is_better=True).repeats_advised is None
    within = compare(
        noise(1, 20, 0.01), noise(2, 20, 0.01), higher_is_better=True, slower_limit=0.1
    )
    assert (within.within_limit, within.repeats_advised) == (True, None)


@pytest.mark.parametrize("higher_is_better", [True, False])
@pytest.mark.parametrize("seed", range(10))
def test_limit_and_interval_say_the_same(higher_is_better: bool, seed: int) -> None:
    """A limit just inside an end of the interval is not ruled out, one just outside is."""
    worse = 0.8 if higher_is_better else 1.25
    options: dict[str, Any] = {"higher_is_better": higher_is_better}
    baseline, candidate = noise(seed, 9, 0.03), worse * noise(seed + 99, 9, 0.03)
    found = quick(baseline, candidate, **options)
    assert found.ratio_low is not None
    assert found.ratio_high is not None
    nearest = found.ratio_high if higher_is_better else found.ratio_low
    edge = 1 - nearest if higher_is_better else nearest - 1

    assert quick(baseline, candidate, slower_limit=edge - 1e-6, **options).slower_than_limit
    assert not quick(baseline, candidate, slower_limit=edge + 1e-6, **options).slower_than_limit


# What holds for any samples.


@given(
    baseline=SAMPLES,
    candidate=SAMPLES,
    limit=st.sampled_from([0.0, 0.05, 0.99]),
    higher=st.booleans(),
    turns=st.booleans(),
)
@example(baseline=[5e-324] * 8, candidate=[1.7e308] * 8, limit=0.05, higher=True, turns=False)
def test_nothing_positive_fails(
    baseline: list[float], candidate: list[float], limit: float, higher: bool, turns: bool
) -> None:
    pairs = [(at, at) for at in range(min(len(baseline), len(candidate)))] if turns else None
    found = quick(baseline, candidate, higher_is_better=higher, slower_limit=limit, pairs=pairs)

    assert 0 < found.ratio < math.inf
    assert 0 <= found.p_value <= 1
    assert not (found.slower_than_limit and found.within_limit)
    if found.ratio_low is None or found.ratio_high is None:
        assert found.verdict == "no difference shown"
    else:
        assert found.ratio_low <= found.ratio <= found.ratio_high
        different = not found.ratio_low <= 1 <= found.ratio_high
        assert different == (found.verdict != "no difference shown")


@settings(max_examples=10)
@given(baseline=st.lists(POSITIVE, min_size=3, max_size=6), candidate=SAMPLES)
def test_advice_never_fails(baseline: list[float], candidate: list[float]) -> None:
    found = compare(baseline, candidate, higher_is_better=True, slower_limit=0.05)

    advised = found.repeats_advised
    assert advised is None or 5 <= advised <= 200


@given(baseline=ROUND, candidate=ROUND, higher=st.booleans(), turns=st.booleans())
def test_swapping_the_sides_swaps_the_verdict(
    baseline: list[float], candidate: list[float], higher: bool, turns: bool
) -> None:
    pairs = [(at, at) for at in range(min(len(baseline), len(candidate)))] if turns else None
    one = quick(baseline, candidate, higher_is_better=higher, pairs=pairs)
    other = quick(candidate, baseline, higher_is_better=higher, pairs=pairs)

    assert other.verdict == SWAPPED[one.verdict]
    assert other.p_value == pytest.approx(one.p_value)
    assert other.ratio == pytest.approx(1 / one.ratio)
    if one.ratio_low is not None:
        assert other.ratio_high == pytest.approx(1 / one.ratio_low)


@given(baseline=ROUND, candidate=ROUND)
def test_units_do_not_matter(baseline: list[float], candidate: list[float]) -> None:
    scaled = quick([64 * value for value in baseline], [64 * value for value in candidate])
    plain = quick(baseline, candidate)

    assert scaled.verdict == plain.verdict
    assert scaled.p_value == pytest.approx(plain.p_value)
    assert scaled.ratio == pytest.approx(plain.ratio)


@given(baseline=ROUND, candidate=ROUND)
def test_rates_and_times_say_the_same(baseline: list[float], candidate: list[float]) -> None:
    rates = quick(baseline, candidate)
    times = quick(
        [1 / value for value in baseline],
        [1 / value for value in candidate],
        higher_is_better=False,
    )

    assert times.verdict == rates.verdict
    assert times.p_value == pytest.approx(rates.p_value)
    assert times.ratio == pytest.approx(1 / rates.ratio)


@given(baseline=ROUND, candidate=ROUND, seed=st.integers(0, 2**32))
def test_the_order_of_interleaved_samples_does_not_matter(
    baseline: list[float], candidate: list[float], seed: int
) -> None:
    source = random.Random(seed)
    pairs = [(0, 0)]
    plain = quick(baseline, candidate, pairs=pairs)
    shuffled = quick(
        source.sample(baseline, len(baseline)),
        source.sample(candidate, len(candidate)),
        pairs=pairs,
    )

    assert shuffled == replace(
        plain, ratio=pytest.approx(plain.ratio), p_value=pytest.approx(plain.p_value)
    )


# What cannot be compared.


@pytest.mark.parametrize(
    ("baseline", "candidate", "options", "message"),
    [
        ([], [1.0], {}, "no samples, expected at least one"),
        ([1.0], [0.0], {}, "a sample is 0.0, expected a finite number above 0"),
        ([math.nan], [1.0], {}, "a sample is nan, expected a finite number above 0"),
        ([1.0], [math.inf], {}, "a sample is inf, expected a finite number above 0"),
        ([1.0], [1.0], {"slower_limit": 1.0}, "slower_limit is 1.0, expected >= 0 and < 1"),
        ([1.0], [1.0], {"slower_limit": -0.1}, "slower_limit is -0.1, expected >= 0 and < 1"),
        (
            [1.0],
            [1.0],
            {"pairs": [(0, 1)]},
            "pairs [(0, 1)] name samples twice, or others than 1 and 1 samples",
        ),
        (
            [1.0, 2.0],
            [1.0],
            {"pairs": [(0, 0), (1, 0)]},
            "pairs [(0, 0), (1, 0)] name samples twice, or others than 2 and 1 samples",
        ),
    ],
)
def test_what_has_no_ratio_is_refused(
    baseline: list[float], candidate: list[float], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError) as failure:  # noqa: PT011 - compared whole below
        quick(baseline, candidate, **options)
    assert str(failure.value) == message


def test_who_made_as_many_repeats_as_are_ever_advised_is_advised_none() -> None:
    noisy = list(np.random.default_rng(0).lognormal(0, 1.5, MAX_REPEATS + 50))

    assert compare(noisy[:50], noisy[50:100], higher_is_better=True).repeats_advised == MAX_REPEATS
    enough = compare(noisy, noisy[::-1], higher_is_better=True)
    assert not enough.within_limit
    assert enough.repeats_advised is None
