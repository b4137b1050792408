"""`edgegen list`: what there is to choose from."""

from __future__ import annotations

import argparse
import importlib
import json
import shutil
import sys

from edgegen.report.tables import table, to_text

EXAMPLES = """\
example:
  edgegen list recipes
"""
KINDS = ("archs", "recipes", "runners")
_ONE_LINE_EACH = 1000  # columns: what is not for a terminal may be for grep


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("kind", choices=KINDS, help="what to list")


def run(arguments: argparse.Namespace) -> int:
    """Print the registry that was asked for."""
    rows = {"archs": _archs, "recipes": _recipes, "runners": _runners}[arguments.kind]()
    if arguments.json:
        print(json.dumps(rows, indent=2))
        return 0
    cells = [[", ".join(v) if isinstance(v, list) else str(v) for v in r.values()] for r in rows]
    terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if terminal else _ONE_LINE_EACH
    listing = table(list(rows[0]), cells, terminal=terminal)
    print(to_text([listing], terminal=terminal, width=width), end="")
    return 0


def _archs() -> list[dict[str, object]]:
    from edgegen.author.models import ARCHITECTURES, architecture
    from edgegen.author.traits import traits

    return [
        {
            "model_type": name,
            "kind": architecture(name).KIND,
            "what": first_sentence(architecture(name).__doc__),
            "supports": list(traits(name)),
        }
        for name in ARCHITECTURES
    ]


def first_sentence(docstring: str | None) -> str:
    """Return a docstring's first paragraph on one line."""
    return " ".join((docstring or "").strip().split("\n\n")[0].split())


def _recipes() -> list[dict[str, object]]:
    from edgegen.convert.recipes import RECIPES

    return [
        {"recipe": recipe.name, "delegates": list(recipe.delegates), "what": recipe.summary}
        for recipe in RECIPES.values()
    ]


def _runners() -> list[dict[str, object]]:
    from edgegen.device.runners import RUNNERS

    return [
        {
            "runner": name,
            "what": first_sentence(importlib.import_module(module).__doc__),
        }
        for name, module in RUNNERS.items()
    ]
