"""`edgegen devices`: which devices there are, and what they are."""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
import sys
from typing import Any

from edgegen.cli.device_choice import add_device_arguments
from edgegen.device.description import DEFAULT_FOLDER, DeviceDescription, describe_device
from edgegen.device.transports import Candidate, connect, list_candidates
from edgegen.errors import DeviceError
from edgegen.report.tables import mib, printable, table, to_text

EXAMPLES = """examples:
  edgegen devices
  edgegen devices --device local --json
  edgegen devices --device 192.168.1.20:5555
"""


_NAMED = "named"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    add_device_arguments(parser, several=True)
    parser.add_argument(
        "--to",
        default=DEFAULT_FOLDER,
        metavar="FOLDER",
        help="where to look for free space (%(default)s)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Print a table, or with --json all that is known; 1 if there is no device."""
    if arguments.device:
        candidates = [
            Candidate(serial, arguments.transport, "device", _NAMED) for serial in arguments.device
        ]
    else:
        candidates = list_candidates(transport=arguments.transport)
    devices = [_describe(candidate, arguments.to) for candidate in candidates]
    if arguments.json:
        print(json.dumps([_record(*device) for device in devices], indent=2))
    elif devices:
        terminal = sys.stdout.isatty()
        width = shutil.get_terminal_size().columns if terminal else 160
        columns = ("serial", "state", "model", "system", "soc", ">free", "by")
        rows = [tuple(map(_one_line, _row(*device))) for device in devices]
        print(
            to_text([table(columns, rows, terminal=terminal)], terminal=terminal, width=width),
            end="",
        )
        for candidate, described in devices:
            if isinstance(described, DeviceError):
                print(printable(f"{candidate.serial}: {described.message}"), file=sys.stderr)
                if described.hint is not None:
                    print(f"hint: {printable(described.hint)}", file=sys.stderr)
    else:
        print("no device found; --device names one", file=sys.stderr)
    reached = [described for _, described in devices if isinstance(described, DeviceDescription)]
    return 0 if reached else 1


Described = DeviceDescription | DeviceError


def _describe(candidate: Candidate, folder: str) -> tuple[Candidate, Described]:
    """Return what a device tells, or why it tells nothing: one does not hide the others."""
    try:
        with connect(candidate.serial, transport=candidate.transport) as transport:
            if candidate.reason == _NAMED:  # until now nobody had looked which way is best
                candidate = dataclasses.replace(candidate, reason=transport.reason)
            return candidate, describe_device(transport, folder)
    except DeviceError as error:
        return candidate, error


def _one_line(text: str) -> str:
    return printable(" ".join(text.split()))


def _record(candidate: Candidate, described: Described) -> dict[str, Any]:
    if isinstance(described, DeviceDescription):
        return {"state": "device", "reason": candidate.reason, **described.as_dict()}
    state = "unreachable" if candidate.state == "device" else candidate.state
    return {
        "state": state,
        "reason": candidate.reason,
        "serial": candidate.serial,
        "transport": candidate.transport,
        "error": described.message,
        "hint": described.hint,
    }


def _row(candidate: Candidate, described: Described) -> tuple[str, ...]:
    if not isinstance(described, DeviceDescription):
        state = "unreachable" if candidate.state == "device" else candidate.state
        return (candidate.serial, state, "", "", "", "", candidate.transport)
    free = "" if described.free_bytes is None else mib(described.free_bytes)
    return (
        described.serial,
        "device",
        described.model or "",
        described.system or "",
        described.soc or "",
        free,
        described.transport,
    )
