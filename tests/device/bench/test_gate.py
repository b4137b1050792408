from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import pytest

from edgegen.device.bench.gate import Gate
from edgegen.device.bench.record import Conditions, Failure
from tests.device.bench.scripted import NEVER


def looks(
    states: Sequence[Conditions], gate: Gate, *, rest: bool = False
) -> tuple[Conditions, Failure | None, int]:
    """Wait at a gate while the device goes through these states; the last one stays."""
    left, looked = list(states), 0

    def conditions() -> Conditions:
        nonlocal looked
        looked += 1
        return left.pop(0) if len(left) > 1 else left[0]

    found, failure = gate.wait(conditions, rest=rest, cancel=NEVER, look_s=0.01)
    return found, failure, looked


def status(name: str | None, celsius: float | None = None) -> Conditions:
    return Conditions(thermal_status_before=name, start_celsius=celsius)


@pytest.mark.parametrize("state", [status("none"), status(None), status("none", 90.0)])
def test_a_cool_device_and_one_that_tells_nothing_begin_at_once(state: Conditions) -> None:
    found, failure, looked = looks([state], Gate())

    assert (found, failure, looked) == (state, None, 1)


def test_a_run_waits_until_the_device_is_cool() -> None:
    states = [status("moderate", 50), status("none", 45), status("none", 40)]
    found, failure, looked = looks(states, Gate(max_celsius=42))

    assert failure is None
    assert looked == 3
    assert found.start_celsius == 40
    assert 0.02 <= found.waited_s < 5


@pytest.mark.parametrize(
    ("state", "why"),
    [
        (status("light"), "thermal status light, expected none"),
        (status("none", 43.5), "43.5 °C, expected at most 42 °C"),
    ],
)
def test_a_device_that_stays_hot_is_a_failure(state: Conditions, why: str) -> None:
    found, failure, looked = looks([state], Gate(max_celsius=42, wait_s=0.05))

    assert failure == Failure(
        "too_hot",
        f"the device was not cool after 0.05 s: {why}",
        "let it rest away from sun and charger and run the command again; "
        "--thermal-wait allows more time",
    )
    assert looked > 2
    assert found.waited_s >= 0.04


def test_rest_comes_before_looking_and_counts_as_waiting() -> None:
    found, failure, looked = looks([status("none")], Gate(cooldown_s=0.1), rest=True)

    assert failure is None
    assert looked == 1
    assert found.waited_s >= 0.09


def test_the_first_run_needs_no_rest() -> None:
    found, _, _ = looks([status("none")], Gate(cooldown_s=60), rest=False)

    assert found.waited_s == 0


def test_waiting_ends_when_the_user_wants() -> None:
    cancel = threading.Event()
    threading.Timer(0.1, cancel.set).start()
    started = time.monotonic()
    Gate(cooldown_s=60).wait(lambda: status("severe"), rest=True, cancel=cancel)

    assert time.monotonic() - started < 10
