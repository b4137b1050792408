"""`edgegen shell`: run a command on a device."""

from __future__ import annotations

import argparse
import json
import sys

from edgegen.cli.arguments import positive_float
from edgegen.cli.device_choice import add_device_arguments, connect_and_say
from edgegen.device.transports.interface import Command

EXAMPLES = """examples:
  edgegen shell -- ls -l /data/local/tmp/edgegen
  edgegen shell 'cat /proc/meminfo | head -3'
  edgegen shell --json -d local -- uname -a

Several words are quoted for the device's shell; a single one is a script for it. The exit status is
the command's.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    parser.add_argument("command", nargs="+", metavar="WORD", help="a command, or one script")
    add_device_arguments(parser)
    parser.add_argument(
        "--timeout", type=positive_float, metavar="SECONDS", help="longest time to run (no limit)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the command, pass its output on as it comes, and return its status."""
    words = arguments.command
    command: Command = words[0] if len(words) == 1 else words
    with connect_and_say(arguments.device, arguments.transport) as transport:
        if arguments.json:
            result = transport.shell(command, timeout_s=arguments.timeout)
            record = {
                "serial": transport.serial,
                "exit_code": result.exit_code,
                "stdout": result.text,
                "stderr": result.stderr.decode("utf-8", "backslashreplace"),
                "merged": result.merged,
            }
            print(json.dumps(record, indent=2))
            return result.exit_code
        with transport.stream(command, timeout_s=arguments.timeout) as running:
            for output in running:
                _pass_on(output.stream, output.data)
            return running.exit_code


def _pass_on(stream: str, data: bytes) -> None:
    """Write output; on a terminal without the characters that could take it over."""
    sink = sys.stdout if stream == "stdout" else sys.stderr
    if sink.isatty():
        from edgegen.report.tables import printable

        sink.write(printable(data.decode("utf-8", "replace").replace("\r\n", "\n")))
    else:
        sink.buffer.write(data)
    sink.flush()
