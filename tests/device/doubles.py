"""Devices for tests: doubles of phones, and adb servers of our own that hold them."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edgegen.device.testing import Adbd
from edgegen.device.transports import connect
from edgegen.device.transports.interface import Transport
from tests.engines.availability import engine_missing


def find_adbs() -> dict[str, str]:
    """Return the adb programs that are here: Debian's, and the one in the wheel of adbutils."""
    found = {}
    if (debian := shutil.which("adb")) is not None:
        found["debian"] = debian
    with contextlib.suppress(ImportError):
        import adbutils

        bundled = Path(adbutils.__file__).parent / "binaries" / "adb"
        if bundled.exists():
            found["adbutils"] = str(bundled)
    return found


ADBS = find_adbs()


def require_adb(name: str | None = None) -> str:
    """Return an adb program, or skip; fail where engines must be there."""
    chosen = ADBS.get(name) if name else next(iter(ADBS.values()), None)
    if chosen is None:
        engine_missing(f"no adb ({name or 'any'}): apt-get install adb, pip install adbutils")
    return chosen


@dataclass(frozen=True)
class Server:
    """An adb server.

    Attributes:
        adb: The program.
        environment: What makes a program use this server, and a home of its own.
    """

    adb: str
    environment: dict[str, str]

    def __call__(self, *words: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Run the adb program."""
        return subprocess.run(
            [self.adb, *words],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def attach(self, device: Adbd) -> None:
        """Have the server hold a device."""
        self("connect", device.serial)  # says "failed to authenticate" of a key that is new
        assert wait_for_state(self, device.serial, "device")


def wait_for_state(server: Server, serial: str, state: str, timeout_s: float = 10) -> bool:
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if f"{serial}\t{state}" in server("devices").stdout:
            return True
        time.sleep(0.05)
    return False


def plain_environment(home: Path, port: int) -> dict[str, str]:
    """Return an environment without a trace of the user's own devices."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("ANDROID_", "ADB_"))}
    return {**kept, "HOME": str(home), "ANDROID_ADB_SERVER_PORT": str(port)}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running_server(adb: str, home: Path) -> Iterator[Server]:
    """Run an adb server in the foreground, so that it ends with the test."""
    port = free_port()
    environment = plain_environment(home, port)
    with subprocess.Popen(
        [adb, "-P", str(port), "server", "nodaemon"],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            end = time.monotonic() + 10
            while True:
                with contextlib.suppress(OSError):
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                assert time.monotonic() < end, "the adb server did not start"
                time.sleep(0.05)
            yield Server(adb, environment)
        finally:
            process.kill()
            process.wait()


@contextlib.contextmanager
def own_process(root: Path, *words: str, home: Path) -> Iterator[dict[str, str]]:
    """Run a double as a program of its own."""
    import json

    with subprocess.Popen(
        [sys.executable, "-m", "edgegen.device.testing", "--root", str(root), *words],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "HOME": str(home)},
    ) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.terminate()
            process.wait(10)


@dataclass
class Reached:
    """A device and the way to it.

    Attributes:
        transport: The way.
        root: The folder of its files.
        double: The device, if it is a double.
        environment: In which it was found.
    """

    transport: Transport
    root: Path
    double: Adbd | None
    environment: dict[str, str]

    def path(self, name: str) -> str:
        return f"{self.root}/{name}"


def reach_directly(double: Adbd, home: Path) -> Transport:
    environment = plain_environment(home, free_port())
    return connect(double.serial, transport="adb-direct", environment=environment)
