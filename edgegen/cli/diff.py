"""`edgegen diff`: tell what differs between two bundles."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path

from edgegen.cli.failing import fail
from edgegen.errors import EdgegenError

EXAMPLES = """examples:
  edgegen diff last-week.task today.task
  edgegen diff model.task model.litertlm --json
ends with 0 where nothing differs, 1 where something does, 2 for trouble
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    for name in ("first", "second"):
        parser.add_argument(
            name, type=Path, metavar=name.upper(), help="a .task, .litertlm or .tflite file"
        )


def run(arguments: argparse.Namespace) -> int:
    """Print the differences; 0 when there are none, 1 when there are, 2 for trouble."""
    from edgegen.bundle.diff import diff_bundles
    from edgegen.report.render_diff import render_diff

    try:
        found = diff_bundles(arguments.first, arguments.second)
    except EdgegenError as error:
        fail(error.message, error.hint)
        return 2
    if arguments.json:
        print(json.dumps(found.as_dict(), indent=2))
    else:
        terminal = sys.stdout.isatty()
        width = shutil.get_terminal_size().columns if terminal else 100
        print(render_diff(found, terminal=terminal, width=width), end="")
    return 1 if found.differences else 0
