"""A device that talks without end, or says nothing: every wait is bounded, and can be stopped."""

from __future__ import annotations

import contextlib
import io
import shutil
import socket
import threading
import time
from collections.abc import Callable

import pytest

from edgegen.device.description import describe_device
from edgegen.device.push import push
from edgegen.device.testing import Adbd
from edgegen.device.transports.adb_connection import AdbConnection
from edgegen.device.transports.adb_direct import AdbDirect
from edgegen.device.transports.failures import (
    CancelledError,
    ConnectionLostError,
    DeviceTimeoutError,
    EndlessOutputError,
)
from edgegen.device.transports.patience import Patience
from edgegen.errors import DeviceError
from tests.device.doubles import reach_directly
from tests.device.test_hostile_device import greet, scripted


def dd_that(does: str) -> dict[str, str]:
    """A device whose `dd` works until it is to take a file."""
    real = shutil.which("dd")
    return {
        "dd": f'case "$*" in *seek=0*.part*|*.part*seek=0*) ;; *) exec {real} "$@";; esac\n{does}\n'
    }


@pytest.mark.parametrize(
    ("does", "error", "message"),
    [
        (
            "cat >/dev/null; exec yes",
            EndlessOutputError,
            "sent more than 65536 bytes as what it says of a file that it writes",
        ),
        (
            "cat >/dev/null; while :; do echo; sleep 0.05; done",
            DeviceTimeoutError,
            "did not finish within 1 s",
        ),
        ("while :; do echo; sleep 0.05; done", DeviceTimeoutError, "said nothing within 1 s"),
    ],
    ids=["endless", "chatter after the end", "chatter before it"],
)
def test_a_program_that_talks_and_does_not_write(tmp_path, home, does, error, message):
    (tmp_path / "device").mkdir()
    source = tmp_path / "model.task"
    source.write_bytes(bytes(24 * 1024**2))
    with (
        Adbd(tmp_path / "device", commands=dd_that(does)) as double,
        reach_directly(double, home) as transport,
    ):
        transport.silence_s = transport.flush_s = 1.0
        began = time.monotonic()
        [result] = push([source], transport).values()
        assert time.monotonic() - began < 15
        assert type(result.error) is error
        assert str(result.error) == f"{double.serial} {message}"


def test_descriptions_of_noise(tmp_path, home):
    """Numbers without end, and lines made to take a pattern long."""
    noise = {
        "getprop": "printf '[ro.build.version.sdk]: [35]\\n'; yes '[a]: [' | head -n 4000",
        "dumpsys": "echo 'GLES: x'; yes '' | head -n 400000; echo '  level: " + "9" * 5000 + "'",
        "cat": "echo 'MemTotal: " + "9" * 5000 + " kB'",
        "stat": "echo '" + "9" * 5000 + " 1'",
    }
    with (
        Adbd(tmp_path, commands=noise) as double,
        reach_directly(double, home) as transport,
    ):
        began = time.monotonic()
        found = describe_device(transport)
        assert time.monotonic() - began < 6
    assert (found.ram_total_bytes, found.free_bytes, found.battery_percent) == (None, None, None)


@pytest.fixture
def fallen_silent():
    """A device that lets in the first connection alone; yields how to reach it."""
    greeted = []

    def answer(connected: socket.socket) -> None:
        if not greeted:
            greeted.append(1)
            greet(connected)
            return  # and goes away
        with contextlib.suppress(OSError):
            while connected.recv(4096):
                pass

    with scripted(answer) as serial, AdbDirect(serial, keys=list) as transport:
        with pytest.raises(DeviceError):
            transport.shell("true", timeout_s=5)  # notices
        yield transport


def test_connecting_again_keeps_to_the_time_of_the_call(fallen_silent):
    began = time.monotonic()
    with pytest.raises(DeviceTimeoutError) as caught:
        fallen_silent.shell("true", timeout_s=0.5)
    assert str(caught.value) == f"{fallen_silent.serial} did not finish within 0.5 s"
    assert time.monotonic() - began < 3


def test_connecting_again_can_be_stopped_by_each_who_waits(fallen_silent):
    cancel = threading.Event()
    ended = []

    def call(run: Callable[[], object]) -> None:
        with contextlib.suppress(CancelledError):
            run()
        ended.append(time.monotonic())

    calls = (
        lambda: fallen_silent.stat("/x", cancel=cancel),
        lambda: fallen_silent.list("/x", cancel=cancel),
        lambda: fallen_silent.make_folder("/x", cancel=cancel),
        lambda: fallen_silent.remove("/x", cancel=cancel),
        lambda: fallen_silent.rename("/x", "/y", cancel=cancel),
        lambda: fallen_silent.pull("/x", io.BytesIO(), cancel=cancel),
        lambda: fallen_silent.push(io.BytesIO(), "/x", cancel=cancel),
    )
    threads = [threading.Thread(target=call, args=(run,)) for run in calls]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    began = time.monotonic()
    cancel.set()
    for thread in threads:
        thread.join(20)
    assert len(ended) == len(calls)
    assert max(ended) - began < 3


def test_a_stream_that_could_not_be_opened_is_forgotten():
    class Gone:
        def write(self, parts, patience):
            raise ConnectionLostError("R5", "pulled out")

        def close(self):
            pass

    connection = AdbConnection(Gone(), "R5")
    with pytest.raises(ConnectionLostError):
        connection.open("sync:", Patience("R5"))
    assert not connection._streams
