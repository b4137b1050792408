"""Run an adbd by itself: `python -m edgegen.device.testing --root DIR`."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from pathlib import Path

from edgegen.device.testing.adbd import ANDROID_FEATURES, Adbd
from edgegen.device.transports.adb_keys import public_half, standard_key


def main() -> int:
    """Listen until told to end; print the address as one line of JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m edgegen.device.testing",
        description="An adbd for tests, on 127.0.0.1. Whoever it lets in can run commands as you.",
    )
    add = parser.add_argument
    add("--root", type=Path, required=True, metavar="DIR", help="folder for the device's files")
    add("--port", type=int, default=0, help="where to listen (any free port)")
    add(
        "--authorize",
        type=Path,
        action="append",
        metavar="FILE",
        help="a public key to let in (your own adbkey.pub)",
    )
    add("--open", action="store_true", help="let everybody in who can reach 127.0.0.1")
    add("--accept-new-keys", action="store_true", help="let in whoever offers a key")
    add("--old", action="store_true", help="an old device, without shell v2 and 64-bit sizes")
    arguments = parser.parse_args()
    if not arguments.root.is_dir():
        parser.error(f"{arguments.root} is no folder")
    keys = None if arguments.open else arguments.authorize or _own_key()
    device = Adbd(
        arguments.root,
        port=arguments.port,
        authorized_keys=keys,
        accept_new_keys=arguments.accept_new_keys,
        features=() if arguments.old else ANDROID_FEATURES,
    )
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        with device:
            about = {"serial": device.serial, "port": device.port, "root": str(device.root)}
            print(json.dumps({**about, "pid": os.getpid()}), flush=True)
            signal.pause()
    except KeyboardInterrupt:
        pass
    return 0


def _own_key() -> list[Path]:
    own = standard_key(os.environ)
    return [public_half(own)] if public_half(own).exists() else []


if __name__ == "__main__":
    sys.exit(main())
