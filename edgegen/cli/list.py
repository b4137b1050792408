"""`edgegen list`: what there is to choose from."""

from __future__ import annotations

import argparse
import json
import sys

from rich.console import Console
from rich.table import Table

EXAMPLES = """\
example:
  edgegen list recipes
"""
KINDS = ("archs", "recipes", "runners")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("kind", choices=KINDS, help="what to list")


def run(arguments: argparse.Namespace) -> int:
    """Print the registry that was asked for."""
    rows = {"archs": _archs, "recipes": _recipes, "runners": _runners}[arguments.kind]()
    if arguments.json:
        print(json.dumps(rows, indent=2))
        return 0
    table = Table(*rows[0], box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(", ".join(v) if isinstance(v, list) else str(v) for v in row.values()))
    Console(file=sys.stdout, highlight=False, soft_wrap=True).print(table)
    return 0


def _archs() -> list[dict[str, object]]:
    from edgegen.author.models import ARCHITECTURES, architecture

    return [
        {"model_type": name, "what": (architecture(name).__doc__ or "").splitlines()[0]}
        for name in sorted(ARCHITECTURES)
    ]


def _recipes() -> list[dict[str, object]]:
    from edgegen.convert.recipes import RECIPES

    return [
        {"recipe": recipe.name, "delegates": list(recipe.delegates), "what": recipe.summary}
        for recipe in RECIPES.values()
    ]


def _runners() -> list[dict[str, object]]:
    from edgegen.device.runners import RUNNERS

    return [
        {"runner": name, "what": (runner.__doc__ or "").strip().splitlines()[0]}
        for name, runner in RUNNERS.items()
    ]
