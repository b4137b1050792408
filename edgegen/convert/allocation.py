"""Spending a budget of bytes on groups of weights, one option for each, for the least loss.

This is the multiple-choice knapsack problem. The losses add up and the sizes are whole bytes, so
that it is solved by the size that is left, group after group. Sizes are counted in the largest
unit that divides them all; where that would make the table too long, in larger units, rounded up,
so that a budget is never exceeded; what that can waste is a unit for each group, each less than
1/100 000 of what there is to choose about. Going along the convex hull by the loss saved per byte
would be as short, but leaves the last of a budget unused, which small models feel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

_MOST_UNITS = 2**17


@dataclass(frozen=True)
class Option:
    """One way to store a group.

    Attributes:
        nbytes: What it takes.
        loss: What it costs in quality.
    """

    nbytes: int
    loss: float


@dataclass(frozen=True)
class Frontier:
    """The best choices for every budget.

    Attributes:
        groups: For each group its options, of which each needs one.
    """

    groups: Sequence[Sequence[Option]]

    @property
    def least_bytes(self) -> int:
        """The smallest budget that can be met."""
        return sum(min(option.nbytes for option in group) for group in self.groups)

    def best(self, budget: int) -> tuple[int, ...]:
        """Return the index of each group's option, together the least loss within the budget.

        Raises:
            ValueError: the budget is less than `least_bytes`.
        """
        if budget < self.least_bytes:
            raise ValueError(f"{budget} bytes, expected at least {self.least_bytes}")
        left = min((budget - self.least_bytes) // self._unit, self._units)
        chosen = []
        for costs, table in zip(reversed(self._costs), reversed(self._tables), strict=True):
            option = int(table[left])
            chosen.append(option)
            left -= costs[option]
        return tuple(reversed(chosen))

    @cached_property
    def budgets(self) -> tuple[int, ...]:
        """The budgets at which the least loss falls, from small to large."""
        falls = np.flatnonzero(np.diff(self._losses) < 0) + 1
        return tuple(self.least_bytes + self._unit * int(units) for units in (0, *falls))

    @cached_property
    def _extra(self) -> list[list[int]]:
        """What each option takes beyond the smallest of its group."""
        smallest = [min(option.nbytes for option in group) for group in self.groups]
        return [
            [option.nbytes - least for option in group]
            for group, least in zip(self.groups, smallest, strict=True)
        ]

    @cached_property
    def _unit(self) -> int:
        """Bytes of one step of the tables."""
        most = sum(map(max, self._extra))
        exact = math.gcd(*(extra for group in self._extra for extra in group)) or 1
        return exact * max(1, -(-most // (exact * _MOST_UNITS)))

    @cached_property
    def _costs(self) -> list[list[int]]:
        return [[-(-extra // self._unit) for extra in group] for group in self._extra]

    @property
    def _units(self) -> int:
        return sum(map(max, self._costs))

    @cached_property
    def _tables(self) -> list[npt.NDArray[np.uint8]]:
        """For each group and units left, its option in the best choice of it and those before."""
        return self._solved[0]

    @property
    def _losses(self) -> npt.NDArray[np.float64]:
        """For each number of units the least loss."""
        return self._solved[1]

    @cached_property
    def _solved(self) -> tuple[list[npt.NDArray[np.uint8]], npt.NDArray[np.float64]]:
        tables, losses = [], np.zeros(self._units + 1)
        for group, costs in zip(self.groups, self._costs, strict=True):
            tried = np.full((len(group), len(losses)), np.inf)
            for row, option, cost in zip(tried, group, costs, strict=True):
                row[cost:] = losses[: len(losses) - cost] + option.loss
            # Of equal losses the smallest option, so that nothing is spent in vain.
            order = sorted(range(len(group)), key=lambda i: costs[i])
            best = np.asarray(order)[tried[order].argmin(axis=0)]
            tables.append(best.astype(np.uint8))
            losses = tried.min(axis=0)
        return tables, losses
