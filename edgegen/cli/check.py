"""`edgegen check`: tell whether a checkpoint can be built, without loading it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

EXAMPLES = """examples:
  edgegen check SmolLM2-135M-Instruct/
  edgegen check my-model/ --json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    parser.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="a checkpoint folder")


def run(arguments: argparse.Namespace) -> int:
    """Print the verdict and its reasons; 0 when the checkpoint is supported."""
    from edgegen.author.suitability import check_checkpoint

    found = check_checkpoint(arguments.checkpoint)
    if arguments.json:
        print(json.dumps(found.as_dict(), indent=2))
        return 0 if found.verdict == "supported" else 1
    # What a checkpoint says of itself may be meant for the terminal and not for its reader.
    from edgegen.report.tables import printable

    size = "" if found.parameter_count is None else f", {found.parameter_count:,} parameters"
    print(printable(f"{found.verdict}: {found.model_type or 'no model_type'}{size}"))
    for title, lines in (("missing", found.missing), ("there are blocks for", found.present)):
        if lines:
            print(f"{title}:")
            print("".join(f"  - {printable(line)}\n" for line in lines), end="")
    if found.hint:
        print(printable(f"next: {found.hint}"))
    return 0 if found.verdict == "supported" else 1
