from __future__ import annotations

import math
import statistics

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edgegen.report.statistics import Summary, summarize

SAMPLES = st.lists(st.floats(0, 1e12), min_size=1, max_size=30)


def test_a_summary_has_middle_and_spread() -> None:
    assert summarize([4.0, 1.0, 1.0]) == Summary(
        n=3, median=1.0, mean=2.0, stddev=3**0.5, minimum=1.0, maximum=4.0, low=1.0, high=4.0
    )


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([7.0], Summary(1, 7.0, 7.0, None, 7.0, 7.0, None, None)),
        ([7.0, 9.0], Summary(2, 8.0, 8.0, 2**0.5, 7.0, 9.0, None, None)),
    ],
)
def test_too_few_samples_have_no_interval(values: list[float], expected: Summary) -> None:
    assert summarize(values) == expected


def cumulated(n: int, k: int, share: float) -> float:
    """The probability of k or more of n."""
    return sum(math.comb(n, i) * share**i * (1 - share) ** (n - i) for i in range(k, n + 1))


@pytest.mark.parametrize("n", [3, 5, 7, 9, 15, 25])
def test_the_interval_is_that_of_all_resamples(n: int) -> None:
    """For odd n: a resample's median is at most the k-th value if more than half of it are."""
    values = [float(2**k) for k in range(n)]
    half = (n + 1) // 2
    at_most = [cumulated(n, half, k / n) for k in range(1, n + 1)]
    low = next(value for value, chance in zip(values, at_most, strict=True) if chance > 0.025)
    high = next(value for value, chance in zip(values, at_most, strict=True) if chance >= 0.975)

    assert (summarize(values).low, summarize(values).high) == (low, high)


@given(values=SAMPLES)
def test_the_middle_lies_between_the_ends(values: list[float]) -> None:
    summary = summarize(values)

    assert summary.minimum <= summary.median <= summary.maximum
    assert summary.median == pytest.approx(statistics.median(values))
    assert summary.mean == pytest.approx(statistics.fmean(values))
    assert summary.n == len(values)
    if len(values) >= 3:
        assert summary.low is not None
        assert summary.high is not None
        assert summary.minimum <= summary.low <= summary.median <= summary.high <= summary.maximum


@given(values=st.lists(st.floats(5e-324, 1.7e308), min_size=1, max_size=12))
@example(values=[1.7e308] * 6)
@example(values=[5e-324] * 6)
@example(values=[5e-324, 1.7e308, 1.7e308, 1.7e308])
def test_nothing_positive_fails(values: list[float]) -> None:
    summary = summarize(values)

    assert summary.minimum <= summary.median <= summary.maximum
    assert 0 <= summary.mean <= summary.maximum
    assert summary.stddev is None or 0 <= summary.stddev <= summary.maximum


@given(values=SAMPLES, seed=st.randoms())
def test_order_does_not_matter(values: list[float], seed: object) -> None:
    shuffled = list(values)
    seed.shuffle(shuffled)  # type: ignore[attr-defined]

    assert summarize(values) == summarize(shuffled)


@given(values=SAMPLES)
def test_units_do_not_matter(values: list[float]) -> None:
    plain, scaled = summarize(values), summarize([1024 * value for value in values])

    for name in ("median", "mean", "minimum", "maximum", "low", "high"):
        if (value := getattr(plain, name)) is not None:
            assert getattr(scaled, name) == 1024 * value


def test_no_samples_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^no samples to summarize, expected at least one$"):
        summarize([])


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_no_number_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match=rf"^samples \[1.0, {bad}\] are not all finite$"):
        summarize([1.0, bad])
