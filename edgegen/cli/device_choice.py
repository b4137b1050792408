"""What the verbs about devices share: which device, which way to it, and saying why."""

from __future__ import annotations

import argparse
import sys
import threading

from edgegen.device.transports import TRANSPORTS, Transport, connect
from edgegen.report.tables import printable


def add_device_arguments(parser: argparse.ArgumentParser, *, several: bool = False) -> None:
    """Declare how a device is named."""
    parser.add_argument(
        "-d",
        "--device",
        metavar="SERIAL",
        action="append" if several else "store",
        help="serial number, HOST:PORT, or 'local' for this machine (ANDROID_SERIAL, else the "
        "only device)" + ("; again for more devices" if several else ""),
    )
    parser.add_argument(
        "--transport",
        choices=("auto", *TRANSPORTS),
        default="auto",
        help="the way to it (auto: an adb server that knows it, else without one)",
    )


def connect_and_say(
    serial: str | None, transport: str, cancel: threading.Event | None = None
) -> Transport:
    """Connect, and say on stderr by which way and why."""
    connected = connect(serial, transport=transport, cancel=cancel)
    line = f"{connected.serial}: by {connected.name} ({connected.reason})\n"
    sys.stderr.write(printable(line))  # at once: several threads may say it
    return connected
