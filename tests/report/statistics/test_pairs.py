from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgegen.report.statistics import interleaved_pairs


def test_runs_in_turns_are_pairs() -> None:
    assert interleaved_pairs([0, 2, 4], [1, 3, 5]) == ((0, 0), (1, 1), (2, 2))


def test_the_turn_may_change() -> None:
    """A B B A."""
    assert interleaved_pairs([0, 3], [1, 2]) == ((0, 0), (1, 1))


def test_a_run_without_its_partner_stays_alone() -> None:
    assert interleaved_pairs([0, 2, 4, 6], [1, 5, 7]) == ((0, 0), (2, 1), (3, 2))


def test_the_order_of_rows_does_not_matter() -> None:
    assert interleaved_pairs([4, 0, 2], [5, 3, 1]) == ((1, 2), (2, 1), (0, 0))


@pytest.mark.parametrize(
    ("baseline", "candidate"),
    [
        ([0, 1, 2, 3], [10, 11, 12, 13]),
        ([10, 11, 12, 13], [0, 1, 2, 3]),
        ([], [0, 1]),
        ([0], []),
        ([0, 1, 2, 3], [4, 5, 6, 7, 8]),
    ],
)
def test_one_after_the_other_are_no_pairs(baseline: list[float], candidate: list[float]) -> None:
    assert interleaved_pairs(baseline, candidate) is None


TIMES = st.lists(st.floats(0, 1e9), max_size=12)


@given(baseline=TIMES, candidate=TIMES)
def test_no_run_has_two_partners(baseline: list[float], candidate: list[float]) -> None:
    pairs = interleaved_pairs(baseline, candidate) or ()

    for side, samples in ((0, baseline), (1, candidate)):
        named = [pair[side] for pair in pairs]
        assert len(set(named)) == len(named)
        assert all(0 <= at < len(samples) for at in named)


def test_runs_that_bear_one_time_are_no_pairs() -> None:
    assert interleaved_pairs([5.0], [5.0]) is None
    assert interleaved_pairs([5.0] * 8, [5.0] * 8) is None
