"""Pushes with a fault at a random byte, each then resumed: nothing corrupt, nothing hangs."""

from __future__ import annotations

import collections
import hashlib
import math
import random
import threading
import time
from pathlib import Path

import pytest

from edgegen.device.push import push
from edgegen.device.testing import Adbd
from edgegen.device.transports.interface import Transport
from edgegen.errors import DeviceError
from tests.device.doubles import reach_directly

MIB = 1024**2
HANG_S = 60.0
FAULTS = ("close", "close while answering", "stall", "corrupt", "disk full", "reboot", "revoke")


def inject(fault: str, double: Adbd, size: int, chance: random.Random) -> threading.Timer | None:
    """Have the device fail at a random byte of what a push of that size sends."""
    at = chance.randrange(1, size + 6000)  # commands come before and after the file
    timer = None
    if fault == "close":
        double.faults.arm(close_after_received=at)
    elif fault == "close while answering":
        double.faults.arm(close_after_sent=chance.randrange(1, 3000))
    elif fault == "stall":
        double.faults.arm(stall_after_received=at)
    elif fault == "corrupt":
        double.faults.arm(corrupt_at_received=at)
    elif fault == "disk full":
        double.faults.arm()
        double.fill_disk(chance.randrange(size))
    else:
        double.faults.arm()
        end = {"reboot": lambda: double.reboot(0.1), "revoke": double.revoke}[fault]
        timer = threading.Timer(chance.random() * (0.1 + size / 300e6), end)
        timer.start()
    return timer


def heal(double: Adbd, timer: threading.Timer | None) -> None:
    if timer is not None:
        timer.join()
        time.sleep(0.15)  # until it has started again
    double.faults.release()
    double.faults.arm()
    double.empty_disk()
    double.authorization.accept_new = True


def attempt(source: Path, transport: Transport, verify: bool) -> DeviceError | None:
    [result] = push([source], transport, folder="/data/local/tmp/m", verify=verify).values()
    return result.error


@pytest.mark.parametrize("verify", [True, False], ids=["verified", "by default"])
@pytest.mark.parametrize(
    ("pushes", "largest"),
    [(14, 8 * MIB), pytest.param(210, 64 * MIB, marks=pytest.mark.slow)],
)
def test_randomised_faults(tmp_path, home, pushes, largest, verify, capsys):
    # Bytes that fall over on a good connection are found by hashing, and by that alone.
    faults = FAULTS if verify else tuple(fault for fault in FAULTS if fault != "corrupt")
    chance = random.Random(6)
    root = tmp_path / "device"
    root.mkdir()
    source, content = tmp_path / "model.task", chance.randbytes(largest + pushes)
    target = root / "data/local/tmp/m/model.task"
    counts: collections.Counter[str] = collections.Counter()
    errors: collections.Counter[str] = collections.Counter()
    longest_s = 0.0
    with (
        Adbd(root, authorized_keys=[], accept_new_keys=True) as double,
        reach_directly(double, home) as transport,
    ):
        transport.silence_s, transport.flush_s = 2.0, 20
        transport._authorize_s = 2.0
        for number in range(pushes):
            fault = faults[number % len(faults)]
            size = max(1, min(largest, int(math.exp(chance.uniform(0, math.log(largest * 2))))))
            # Another begin each time, so that no push finds the last one's file.
            source.write_bytes(content[number : number + size])
            wanted = hashlib.sha256(source.read_bytes()).digest()
            before = target.read_bytes() if target.exists() else None
            timer = inject(fault, double, size, chance)
            began = time.monotonic()
            error = attempt(source, transport, verify)
            longest_s = max(longest_s, time.monotonic() - began)
            counts["failed" if error else "passed"] += 1
            errors[type(error).__name__] += error is not None
            there = target.read_bytes() if target.exists() else None
            if error is None or there != before:
                assert there is not None
                assert hashlib.sha256(there).digest() == wanted, f"corrupt after {fault}"
            heal(double, timer)
            for _ in range(3):  # what still lingers of the fault may end one more
                error = attempt(source, transport, verify)
                if error is None:
                    break
                counts["resumed again"] += 1
            assert error is None, f"cannot be resumed after {fault}: {error}"
            assert hashlib.sha256(target.read_bytes()).digest() == wanted
            # A command that was on its way when the connection broke may run later, and lock what
            # nobody pushes; whoever comes next throws that lock out.
            if (target.parent / ".model.task.lock").exists():
                counts["locked late"] += 1
                source.write_bytes(content[: size + 1])
                assert attempt(source, transport, verify) is None
            left = [path.name for path in target.parent.iterdir()]
            assert left == ["model.task"], f"left behind after {fault}"
    assert longest_s < HANG_S
    with capsys.disabled():
        print(
            f"\n{pushes} pushes, {'verified' if verify else 'by default'}: {dict(counts)}; "
            f"0 corrupt, 0 half-written, 0 hung (longest {longest_s:.1f} s); "
            f"errors: {dict(+errors)}"
        )
    assert counts["locked late"] <= pushes / 10
    assert counts["failed"] > pushes / 3, "the faults did not happen"
