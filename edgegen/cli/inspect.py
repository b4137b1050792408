"""`edgegen inspect`: show what is inside a bundle."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path

from edgegen.bundle import inspect_bundle
from edgegen.report.render import render_inspection

EXAMPLES = """examples:
  edgegen inspect model.task
  edgegen inspect model.task --json
  edgegen inspect model.tflite
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    parser.add_argument("file", type=Path, metavar="FILE", help="a .task or .tflite file")


def run(arguments: argparse.Namespace) -> int:
    """Print tables or, with --json, everything."""
    inspection = inspect_bundle(arguments.file)
    if arguments.json:
        print(json.dumps(inspection.as_dict(), indent=2))
    else:
        terminal = sys.stdout.isatty()
        width = shutil.get_terminal_size().columns if terminal else 100
        print(render_inspection(inspection, terminal=terminal, width=width), end="")
    return 0
