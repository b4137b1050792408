"""`edgegen pull`: copy a file from a device."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import sys
from pathlib import Path

from edgegen.cli.device_choice import add_device_arguments, connect_and_say
from edgegen.device.description import DEFAULT_FOLDER
from edgegen.device.pull import pull
from edgegen.progress import reporting
from edgegen.report.tables import mib, printable

EXAMPLES = """examples:
  edgegen pull model.task
  edgegen pull trace.txt -o pixel9.txt --root /data/local/tmp
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    parser.add_argument("path", metavar="PATH", help="the file there, below --root")
    add_device_arguments(parser)
    add = parser.add_argument
    add("-o", "--output", type=Path, metavar="FILE", help="the file here (same name, this folder)")
    add(
        "--root",
        default=DEFAULT_FOLDER,
        metavar="FOLDER",
        help="the folder there that PATH must not leave (%(default)s)",
    )
    add("--force", action="store_true", help="replace an existing file")


def run(arguments: argparse.Namespace) -> int:
    """Pull; print where it is, or with --json size and hash."""
    with contextlib.ExitStack() as stack:
        transport = stack.enter_context(connect_and_say(arguments.device, arguments.transport))
        if sys.stderr.isatty():
            from edgegen.cli.transfer_bars import TransferBars

            stack.enter_context(reporting(stack.enter_context(TransferBars())))
        pulled = pull(
            arguments.path,
            transport,
            arguments.output,
            folder=arguments.root,
            force=arguments.force,
        )
    if arguments.json:
        print(json.dumps({**dataclasses.asdict(pulled), "output": str(pulled.output)}, indent=2))
    else:
        line = f"{pulled.output} ({mib(pulled.size)}) from {pulled.path} on {pulled.serial}"
        print(printable(line))
    return 0
