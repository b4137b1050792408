from __future__ import annotations

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgegen.report import Summary, summarize

SAMPLES = st.lists(st.floats(0, 1e12), min_size=1, max_size=20)


def test_a_summary_has_middle_and_spread() -> None:
    assert summarize([4.0, 1.0, 1.0]) == Summary(
        n=3, median=1.0, mean=2.0, stddev=3**0.5, minimum=1.0, maximum=4.0
    )


def test_one_sample_has_no_spread() -> None:
    assert summarize([7.0]) == Summary(1, 7.0, 7.0, None, 7.0, 7.0)


@given(values=SAMPLES)
def test_the_middle_lies_between_the_ends(values: list[float]) -> None:
    summary = summarize(values)

    assert summary.minimum <= summary.median <= summary.maximum
    assert summary.median == statistics.median(values)
    assert summary.n == len(values)


@given(values=SAMPLES)
def test_order_does_not_matter(values: list[float]) -> None:
    assert summarize(values) == summarize(sorted(values))


def test_no_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="no samples"):
        summarize([])


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_no_number_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="not all finite"):
        summarize([1.0, bad])
