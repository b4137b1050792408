from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgegen.report.statistics import MAX_REPEATS, compare, repeats_for


def noise(seed: int, runs: int, spread: float) -> Any:
    return 100 * np.exp(np.random.default_rng(seed).normal(0, spread, runs))


def test_more_noise_needs_more_repeats() -> None:
    needed = [repeats_for(noise(0, 30, spread)) for spread in (0.001, 0.03, 0.06, 0.12, 0.5)]

    assert needed == sorted(needed)
    assert needed[0] == 5
    assert needed[1] < needed[2] < needed[3]
    assert needed[4] == MAX_REPEATS


def test_a_larger_effect_needs_fewer() -> None:
    values = noise(0, 30, 0.08)
    needed = [repeats_for(values, effect) for effect in (0.05, 0.1, 0.2, 0.5)]

    assert needed == sorted(needed, reverse=True)
    assert needed[0] > 2 * needed[1]


def test_more_power_and_a_limit_need_more() -> None:
    values = noise(0, 30, 0.05)

    assert repeats_for(values, power=0.99) > repeats_for(values, power=0.5)
    assert repeats_for(values, slower_limit=0.05) > 2 * repeats_for(values)


def test_taking_turns_needs_fewer() -> None:
    values = noise(0, 30, 0.08)

    assert repeats_for(values, interleaved=True) < repeats_for(values)


def test_samples_without_spread_need_the_fewest_that_decide() -> None:
    assert repeats_for([7.0, 7.0, 7.0]) == 5
    assert repeats_for([7.0, 7.0, 7.0], interleaved=True) == 5


def test_it_is_deterministic() -> None:
    values = noise(1, 6, 0.1)

    assert repeats_for(values) == repeats_for(list(values))
    assert repeats_for(values) == repeats_for(1000 * values)


@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("spread", [0.03, 0.06])
def test_so_many_repeats_find_it_in_nine_of_ten(spread: float, interleaved: bool) -> None:
    """Through `compare` itself, with fresh noise of the same kind."""
    needed = repeats_for(noise(0, 100, spread), interleaved=interleaved)
    pairs = [(at, at) for at in range(needed)] if interleaved else None
    found = 0
    for seed in range(300):
        runs = noise(seed + 1000, 2 * needed, spread)
        found += (
            compare(
                runs[:needed],
                0.9 * runs[needed:],
                higher_is_better=True,
                pairs=pairs,
                advise=False,
            ).verdict
            == "slower"
        )

    assert 0.84 <= found / 300 <= 0.99


@settings(max_examples=10)
@given(values=st.lists(st.floats(5e-324, 1.7e308), min_size=3, max_size=10))
def test_nothing_positive_fails(values: list[float]) -> None:
    assert 5 <= repeats_for(values) <= MAX_REPEATS


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        ([1.0, 2.0], {}, "2 samples, expected at least 3"),
        ([], {}, "no samples, expected at least one"),
        ([1.0, -2.0, 3.0], {}, "a sample is -2.0, expected a finite number above 0"),
        ([1.0, math.inf, 3.0], {}, "a sample is inf, expected a finite number above 0"),
        ([1.0, 2.0, 3.0], {"effect": 0.0}, "effect is 0.0, expected > 0 and < 1"),
        ([1.0, 2.0, 3.0], {"power": 1.0}, "power is 1.0, expected > 0 and < 1"),
        (
            [1.0, 2.0, 3.0],
            {"slower_limit": 0.1},
            "effect is 0.1, expected more than slower_limit 0.1",
        ),
    ],
)
def test_what_cannot_be_told_is_refused(
    values: list[float], options: dict[str, float], message: str
) -> None:
    with pytest.raises(ValueError) as failure:  # noqa: PT011 - compared whole below
        repeats_for(values, **options)  # type: ignore[arg-type]
    assert str(failure.value) == message
