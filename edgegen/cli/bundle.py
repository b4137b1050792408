"""`edgegen bundle`: make a bundle from parts, or from another bundle."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgegen.cli.arguments import probability, safe_for_terminal
from edgegen.cli.parameter_arguments import add_parameter_arguments, given_parameters

if TYPE_CHECKING:
    from edgegen.bundle.derive import Derived

EXAMPLES = """examples:
  edgegen bundle convert model.task -o model.litertlm
  edgegen bundle edit model.task -o edited.task --stop-token '<|im_end|>'
  edgegen bundle edit model.litertlm -o model.litertlm --force --temperature 0.7 --top-k 40
"""

_BACKENDS = ("cpu", "gpu", "npu", "gpu_artisan")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the operations and their arguments."""
    operations = parser.add_subparsers(dest="operation", metavar="OPERATION", required=True)
    convert = operations.add_parser(
        "convert", help="write a .task as .litertlm, or a .litertlm as .task"
    )
    edit = operations.add_parser("edit", help="change metadata, not the weights")
    for operation in (convert, edit):
        operation.add_argument("bundle", type=Path, metavar="BUNDLE", help="a .task or .litertlm")
        operation.add_argument("-o", "--output", type=Path, required=True, help="file to write")
        operation.add_argument("--force", action="store_true", help="replace an existing output")
    convert.add_argument(
        "--max-mismatch-rate",
        type=probability,
        default=0.0,
        metavar="R",
        help="share of texts that a converted tokenizer.json may tokenize otherwise (%(default)s)",
    )
    add_parameter_arguments(edit)
    edit.add_argument(
        "--backend",
        action="append",
        choices=_BACKENDS,
        help="who may run the model of a .litertlm; repeat",
    )
    edit.add_argument("--min-runtime-version", help="least version of LiteRT-LM for a .litertlm")
    edit.add_argument("--llm-model-type", help="how LiteRT-LM prepares conversations")


def run(arguments: argparse.Namespace) -> int:
    """Do it, and print what came out and what was lost."""
    made = _OPERATIONS[arguments.operation](arguments)
    if arguments.json:
        print(json.dumps(made.as_dict(), indent=2))
        return 0
    for lost in made.not_carried:
        said = "note: not carried over: " if arguments.operation == "convert" else "note: "
        print(safe_for_terminal(f"{said}{lost}"), file=sys.stderr)
    print(made.bundle.path)
    return 0


def _convert(arguments: argparse.Namespace) -> Derived:
    from edgegen.bundle.derive import convert_bundle

    return convert_bundle(
        arguments.bundle,
        arguments.output,
        max_mismatch_rate=arguments.max_mismatch_rate,
        force=arguments.force,
    )


def _edit(arguments: argparse.Namespace) -> Derived:
    from edgegen.bundle.derive import edit_bundle
    from edgegen.contract import TASK_MODEL

    hints: dict[str, Any] = {
        name: getattr(arguments, name)
        for name in ("min_runtime_version", "llm_model_type")
        if getattr(arguments, name) is not None
    }
    if arguments.backend:
        hints["backend_constraints"] = {TASK_MODEL: tuple(arguments.backend)}
    return edit_bundle(
        arguments.bundle,
        arguments.output,
        parameters_file=arguments.parameters,
        parameters=given_parameters(arguments),
        hints=hints,
        force=arguments.force,
    )


_OPERATIONS: dict[str, Callable[[argparse.Namespace], Derived]] = {
    "convert": _convert,
    "edit": _edit,
}
