"""`edgegen push`: copy bundles to devices."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import json
import sys
import threading
from pathlib import Path

from edgegen.cli.device_choice import add_device_arguments, connect_and_say
from edgegen.device.description import DEFAULT_FOLDER
from edgegen.device.push import PushedFile, Target, push
from edgegen.device.transports import Transport
from edgegen.errors import DeviceError
from edgegen.progress import reporting
from edgegen.report.tables import mib, number, printable

EXAMPLES = """examples:
  edgegen push model.task
  edgegen push model.task --verify -d R5CT10ABCDE -d 192.168.1.20:5555
  edgegen push runner --mode 755 --to /data/local/tmp/edgegen
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a bundle, or any file")
    add_device_arguments(parser, several=True)
    add = parser.add_argument
    add("--to", default=DEFAULT_FOLDER, metavar="FOLDER", help="folder on the device (%(default)s)")
    add("--verify", action="store_true", help="hash what has arrived on the device")
    add("--mode", type=_mode, default=0o644, metavar="OCTAL", help="permissions there (644)")


def run(arguments: argparse.Namespace) -> int:
    """Push; print a line for each file, or with --json everything. 1 if a device failed."""
    with contextlib.ExitStack() as stack:
        targets: list[Transport | Target] = [
            Target(serial, functools.partial(_connect, serial, arguments.transport))
            for serial in dict.fromkeys(arguments.device or [])
        ] or [stack.enter_context(connect_and_say(None, arguments.transport))]
        if sys.stderr.isatty():
            from edgegen.cli.transfer_bars import TransferBars

            stack.enter_context(reporting(stack.enter_context(TransferBars())))
        results = push(
            arguments.files,
            targets,
            folder=arguments.to,
            verify=arguments.verify,
            mode=arguments.mode,
        )
    errors = {
        serial: result.error for serial, result in results.items() if result.error is not None
    }
    pushed = [file for result in results.values() for file in result.pushed]
    if arguments.json:
        print(json.dumps(_record(pushed, errors), indent=2))
    for file in pushed:
        if not arguments.json:
            print(printable(_line(file)))
        for note in file.notes:
            print(printable(f"note: {file.serial}: {note}"), file=sys.stderr)
    if len(results) == 1 and errors:
        raise next(iter(errors.values()))
    for serial, error in errors.items():
        print(printable(f"error: {serial}: {error.message}"), file=sys.stderr)
        if error.hint is not None:
            print(f"hint: {printable(error.hint)}", file=sys.stderr)
    return 1 if errors else 0


def _record(pushed: list[PushedFile], errors: dict[str, DeviceError]) -> dict[str, object]:
    return {
        "files": [{**dataclasses.asdict(file), "source": str(file.source)} for file in pushed],
        "errors": [
            {"serial": serial, "error": error.message, "hint": error.hint}
            for serial, error in errors.items()
        ],
    }


_HASHES = {"sha256": "SHA-256", "sha1": "SHA-1", "md5": "MD5"}


def _connect(serial: str, transport: str, cancel: threading.Event) -> Transport:
    return connect_and_say(serial, transport, cancel)


def _line(file: PushedFile) -> str:
    if file.skipped:
        same = _HASHES.get(file.verified_by or "", file.verified_by)
        return f"{file.path} on {file.serial} was there already ({mib(file.size)}, same {same})"
    sent = file.size - file.resumed_from
    rate = f", {number(sent / 1024**2 / file.seconds)} MiB/s" if file.seconds > 0 else ""
    resumed = f", {mib(file.resumed_from)} were there" if file.resumed_from else ""
    verified = f", verified by {file.verified_by}" if file.verified_by else ""
    return f"{file.path} on {file.serial}: {mib(sent)} sent{resumed}{rate}{verified}"


def _mode(text: str) -> int:
    try:
        mode = int(text, 8)
    except ValueError:
        mode = -1
    if not 0 <= mode <= 0o777:
        raise argparse.ArgumentTypeError(f"{text!r} is no permission like 644 or 755")
    return mode
