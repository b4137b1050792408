"""The promises on noise that was recorded, not made (`python benchmarks/noise.py --record`)."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from edgegen.report.statistics.calibration import Order, Resampling, calibrate, drift_alarms

DATA = Path(__file__).resolve().parents[3] / "benchmarks" / "data"
FILES = sorted(DATA.glob("noise-*.json"))
RATES = ("prefill_tokens_per_s", "decode_tokens_per_s")
each_file = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
each_rate = pytest.mark.parametrize("rate", RATES)
each_resampling = pytest.mark.parametrize("resampling", ["shuffled", "consecutive"])


def read(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text()))


def test_there_is_noise() -> None:
    assert FILES


@each_file
def test_the_data_say_how_they_were_made(path: Path) -> None:
    told = read(path)

    assert told["command"].startswith("python benchmarks/noise.py --record ")
    assert told["conditions"] == path.stem.removeprefix("noise-")
    assert told["cpu"]
    assert told["date"]
    assert path.stat().st_size < 64 * 1024
    lengths = {len(series) for series in told["runs"].values()}
    assert len(lengths) == 1
    assert lengths.pop() >= 120
    assert "/" not in json.dumps({**told, "command": "", "runs": ""})


@each_file
@each_rate
@each_resampling
@pytest.mark.parametrize("order", ["separate", "alternating", "drawn"])
@pytest.mark.parametrize("repeats", [5, 10, 20])
def test_a_thing_seldom_differs_from_itself(
    path: Path, rate: str, resampling: Resampling, order: Order, repeats: int
) -> None:
    found = calibrate(read(path)["runs"][rate], resampling=resampling, order=order, repeats=repeats)

    assert found.comparisons == 200
    assert found.different <= 10


@each_rate
def test_ranks_alone_would_not_do(rate: str) -> None:
    """What the allowance for lingering conditions is for, where they did linger."""
    series = read(DATA / "noise-loaded.json")["runs"][rate]

    def different(order: Order) -> int:
        return calibrate(series, resampling="consecutive", order=order, repeats=30).different

    assert different("ranks alone") > 20
    assert different("separate") <= 10


@each_file
@each_rate
@each_resampling
@pytest.mark.parametrize("order", ["separate", "alternating", "drawn"])
def test_a_great_difference_is_found(
    path: Path, rate: str, resampling: Resampling, order: Order
) -> None:
    """Even in the worst of the noise, where single runs differ by half."""
    found = calibrate(
        read(path)["runs"][rate], resampling=resampling, order=order, repeats=20, slowdown=0.7
    )

    assert found.slower >= 150
    assert found.faster == 0


@each_file
@each_rate
@each_resampling
def test_more_repeats_find_more(path: Path, rate: str, resampling: Resampling) -> None:
    series = read(path)["runs"][rate]
    few, many = (
        calibrate(series, resampling=resampling, order="drawn", repeats=repeats, slowdown=0.3)
        for repeats in (5, 30)
    )

    assert many.slower > few.slower
    assert many.slower > 100
    assert many.faster == 0


@each_file
@each_rate
@pytest.mark.parametrize("runs", [5, 10, 20])
def test_noise_is_seldom_drift(path: Path, rate: str, runs: int) -> None:
    drifting, throttled = drift_alarms(read(path)["runs"][rate], resampling="shuffled", runs=runs)

    assert drifting <= 10
    assert throttled <= 10


def test_a_series_that_is_too_short_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^19 runs in the series, expected at least 20$"):
        calibrate([1.0] * 19, resampling="shuffled", order="separate", repeats=10)


def test_a_steady_decay_is_no_difference_if_lots_are_drawn() -> None:
    """Whoever always comes second meets a device that is warmer by one run, each time."""
    decaying = [100 * 0.98**run * (1 + 0.005 * math.sin(run * 2.4)) for run in range(40)]

    def different(order: Order) -> int:
        return calibrate(decaying, resampling="consecutive", order=order, repeats=20).different

    assert different("drawn") <= 10
    assert different("alternating") == 200
