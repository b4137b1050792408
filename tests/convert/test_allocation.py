"""Budgets: never exceeded, and spent as well as can be."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgegen.convert import allocation
from edgegen.convert.allocation import Frontier, Option

OPTIONS = st.builds(
    Option,
    nbytes=st.integers(1, 40),
    loss=st.one_of(st.just(0.0), st.floats(1e-6, 1.0)),
)
GROUPS = st.lists(st.lists(OPTIONS, min_size=1, max_size=4), min_size=1, max_size=4)


def totals(groups: list[list[Option]], choice: tuple[int, ...]) -> tuple[int, float]:
    taken = [group[index] for group, index in zip(groups, choice, strict=True)]
    return sum(one.nbytes for one in taken), sum(one.loss for one in taken)


@given(groups=GROUPS, above=st.integers(0, 100))
def test_the_choice_is_the_best_of_all(groups: list[list[Option]], above: int) -> None:
    frontier = Frontier(groups)
    budget = frontier.least_bytes + above

    nbytes, loss = totals(groups, frontier.best(budget))

    every = [totals(groups, choice) for choice in itertools.product(*map(range, map(len, groups)))]
    assert nbytes <= budget
    assert loss == pytest.approx(min(loss for size, loss in every if size <= budget))
    assert frontier.least_bytes == min(size for size, _ in every)


@given(groups=GROUPS)
def test_each_budget_at_which_the_loss_falls_is_named(groups: list[list[Option]]) -> None:
    frontier = Frontier(groups)
    found = [totals(groups, frontier.best(budget)) for budget in frontier.budgets]
    losses = [loss for _, loss in found]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] == pytest.approx(sum(min(o.loss for o in group) for group in groups))
    for (nbytes, loss), budget in zip(found[1:], frontier.budgets[1:], strict=True):
        assert nbytes <= budget
        assert totals(groups, frontier.best(budget - 1))[1] > loss


@given(groups=GROUPS, scale=st.integers(1, 10**7), above=st.integers(0, 10**9))
def test_sizes_of_gigabytes_are_counted_in_larger_units_and_rounded_up(
    groups: list[list[Option]], scale: int, above: int
) -> None:
    """Not in the sizes' own unit, which is one byte here, but as many as the table has."""
    large = [[Option(o.nbytes * scale + i, o.loss) for i, o in enumerate(g)] for g in groups]
    frontier = Frontier(large)
    budget = frontier.least_bytes + above
    nbytes, loss = totals(large, frontier.best(budget))
    assert nbytes <= budget
    most = sum(max(o.nbytes for o in g) - min(o.nbytes for o in g) for g in large)
    spared = budget - len(groups) * (1 + most // 100_000)
    if spared >= frontier.least_bytes:
        every = itertools.product(*map(range, map(len, large)))
        affordable = [found for choice in every if (found := totals(large, choice))[0] <= spared]
        assert loss <= min(loss for _, loss in affordable) + 1e-9


def test_a_table_has_a_bound() -> None:
    """However odd the sizes."""
    groups = [[Option(i, 1.0), Option(10**10 + 7 * i**2, 0.1)] for i in (1, 2, 3)]
    frontier = Frontier(groups)
    assert len(frontier._losses) <= allocation._MOST_UNITS + 3
    assert frontier.best(4 * 10**10) == (1, 1, 1)
    assert sum(frontier.best(25 * 10**9)) == 2


def test_of_equal_losses_the_smaller_is_taken() -> None:
    assert Frontier([[Option(9, 0.5), Option(3, 0.5)]]).best(100) == (1,)


def test_a_budget_below_the_least_is_none() -> None:
    with pytest.raises(ValueError, match="9 bytes, expected at least 10"):
        Frontier([[Option(4, 0.0)], [Option(6, 0.0), Option(8, 0.0)]]).best(9)
