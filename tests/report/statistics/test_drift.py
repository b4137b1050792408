from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from edgegen.device.description import THERMAL_STATUS
from edgegen.report.statistics import Drift, drift

# A Pixel 9 Pro's CPU, five runs in a row of a 0.6B model's prefill and decode, and its GPU's
# prefill: litert-samples, benchmark/leaderboard/data/measurements-lm.jsonl, September 2026.
PREFILL_CPU = (185.509, 202.869, 185.019, 93.141, 92.109)
DECODE_CPU = (6.416, 6.21, 3.307, 2.749, 3.378)
PREFILL_GPU = (583.937, 585.428, 591.097, 597.082, 591.071)
VALUES = st.lists(st.floats(1e-300, 1e300), min_size=1, max_size=30)


def test_a_phone_that_throttles_is_flagged() -> None:
    found = drift(PREFILL_CPU, range(5))

    assert found.throttled
    assert found.change == pytest.approx(-0.555, abs=0.001)
    assert found.why == "from first to last run 55% slower by the median slope, one-sided p 0.042"


def test_a_steady_decay_is_flagged_and_drifting() -> None:
    found = drift([185, 160, 135, 110, 92], range(5))

    assert (found.throttled, found.drifting) == (True, True)
    assert found.p_value == pytest.approx(2 / 120)


def test_a_rising_time_is_a_decay() -> None:
    found = drift([1 / value for value in PREFILL_CPU], range(5), higher_is_better=False)

    assert found.throttled
    assert found.change > 0


def test_a_phone_that_gets_faster_is_not_throttled() -> None:
    assert not drift([92, 110, 135, 160, 185], range(5)).throttled
    assert drift([92, 110, 135, 160, 185], range(5)).drifting
    assert not drift(PREFILL_GPU, range(5)).throttled


def test_what_the_order_leaves_open_the_device_decides() -> None:
    alone = drift(DECODE_CPU, range(5))
    hot = drift(DECODE_CPU, range(5), thermal_statuses=["none", "light", None, "moderate"])
    capped = drift(DECODE_CPU, range(5), cpu_capped=True)

    assert (alone.throttled, hot.throttled, capped.throttled) == (False, True, True)
    assert alone.why == "from first to last run 54% slower by the median slope, one-sided p 0.12"
    assert hot.why == f"{alone.why}; the device says that its thermal status was moderate"
    assert capped.why == f"{alone.why}; the device says that a CPU's frequency was capped"


def test_a_capped_frequency_alone_throttles_nothing() -> None:
    """On a laptop it is the power profile, and all runs are equally slow."""
    assert not drift([100.0, 101.0, 99.0, 100.5], range(4), cpu_capped=True).throttled


@pytest.mark.parametrize("status", THERMAL_STATUS)
def test_from_severe_on_the_device_says_that_it_throttles(status: str) -> None:
    found = drift([100.0, 100.0, 100.0], range(3), thermal_statuses=["none", status])

    assert found.throttled == (THERMAL_STATUS.index(status) >= THERMAL_STATUS.index("severe"))


def test_order_is_by_time() -> None:
    assert drift([92, 185, 110, 160, 135], [4, 0, 3, 1, 2]) == drift(
        [185, 160, 135, 110, 92], range(5)
    )


def test_a_trifle_is_no_drift() -> None:
    values = [1000 * 0.999**run for run in range(20)]

    assert drift(values, range(20)) == Drift(
        n=20,
        slope_per_run=pytest.approx(-0.001),
        change=pytest.approx(-0.0188, abs=1e-4),
        p_value=pytest.approx(stats.kendalltau(range(20), values).pvalue),
        drifting=False,
        throttled=False,
        why="from first to last run 2% slower by the median slope, one-sided p 4.1e-19",
    )


@pytest.mark.parametrize("runs", [5, 10, 30])
def test_noise_is_flagged_in_few_of_two_hundred(runs: int) -> None:
    source = np.random.default_rng(runs)
    found = [drift(np.exp(source.normal(0, 0.2, runs)), range(runs)) for _ in range(200)]

    assert sum(each.drifting for each in found) <= 10
    assert sum(each.throttled for each in found) <= 10


@pytest.mark.parametrize("runs", [20, 30])
def test_conditions_that_linger_are_no_decay(runs: int) -> None:
    """Such noise is flagged several times as often by ranks alone."""
    source = np.random.default_rng(runs)
    flagged, by_rank = 0, 0
    for _ in range(200):
        lingering = [source.normal()]
        for _ in range(runs - 1):
            lingering.append(0.8 * lingering[-1] + 0.6 * source.normal())
        values = np.exp(0.1 * (np.array(lingering) + source.normal(0, 0.8, runs)))
        flagged += drift(values, range(runs)).drifting
        by_rank += stats.kendalltau(range(runs), values).pvalue <= 0.05

    assert by_rank > 30
    assert flagged < by_rank / 2


@given(values=VALUES)
def test_nothing_positive_fails(values: list[float]) -> None:
    found = drift(values, range(len(values)))

    assert 0 <= found.p_value <= 1
    assert found.change >= -1
    assert not (found.throttled and len(values) < 4)


@given(values=st.lists(st.integers(100, 200), min_size=1, max_size=20), seed=st.integers(0, 2**32))
def test_units_and_the_clock_do_not_matter(values: list[int], seed: int) -> None:
    times = sorted(random.Random(seed).sample(range(10**6), len(values)))
    plain = drift(values, range(len(values)))
    scaled = drift([1024.0 * value for value in values], times)

    assert scaled.slope_per_run == pytest.approx(plain.slope_per_run, abs=1e-9)
    assert scaled.p_value == pytest.approx(plain.p_value, rel=1e-6)


def test_what_has_no_trend_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^no samples, expected at least one$"):
        drift([], [])
    with pytest.raises(ValueError, match=r"^a sample is 0\.0, expected a finite number above 0$"):
        drift([1.0, 0.0], [0, 1])
    with pytest.raises(ValueError, match=r"^2 values and 1 times, expected as many$"):
        drift([1.0, 2.0], [0])
