"""Arguments for generation parameters, the same wherever a bundle's metadata is written."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

# Prompt texts around each role, and the field of GenerationParameters that they set.
_AFFIXES = [
    f"prompt_{place}_{role}"
    for role in ("user", "model", "system")
    for place in ("prefix", "suffix")
]
_TEXTS = ("start_token", "pad_token", "system_prompt", *_AFFIXES)
_NUMBERS: dict[str, type] = {
    "temperature": float,
    "top_k": int,
    "top_p": float,
    "seed": int,
    "max_tokens": int,
    "max_output_tokens": int,
}


def add_parameter_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    group = parser.add_argument_group(
        "generation parameters", "each goes before --parameters, and that before the checkpoint"
    )
    group.add_argument(
        "--parameters", type=Path, metavar="TOML", help="file with generation parameters"
    )
    group.add_argument("--start-token", help="piece put before every prompt")
    group.add_argument(
        "--stop-token", action="append", dest="stop_tokens", help="piece that ends answers; repeat"
    )
    group.add_argument("--pad-token", help=argparse.SUPPRESS)
    group.add_argument("--system-prompt", metavar="TEXT", help="what the model is told first")
    for name in _AFFIXES:
        group.add_argument(f"--{name.replace('_', '-')}", metavar="TEXT", help=argparse.SUPPRESS)
    drawing = group.add_mutually_exclusive_group()
    drawing.add_argument(
        "--greedy",
        action="store_const",
        const=False,
        dest="do_sample",
        help="always the likeliest token",
    )
    drawing.add_argument(
        "--sample",
        action="store_const",
        const=True,
        dest="do_sample",
        help="draw tokens at random; a temperature, top-k or top-p says so as well",
    )
    for name, kind in _NUMBERS.items():
        group.add_argument(f"--{name.replace('_', '-')}", type=kind, metavar="N")
    group.add_argument(
        "--chat-template",
        metavar="FILE",
        help="Jinja template of conversations; or the name of one of the checkpoint's, or none",
    )


def given_parameters(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the fields that were given, those of the sampler by their own names.

    Raises:
        BundleError: the chat template's file is no template.
        OutputError: a file cannot be read.
    """
    from edgegen.bundle.parameter_values import template_file
    from edgegen.cli.arguments import read_text
    from edgegen.errors import BundleError

    values = {name: getattr(arguments, name) for name in (*_TEXTS, *_NUMBERS)}
    values["stop_tokens"] = tuple(arguments.stop_tokens) if arguments.stop_tokens else None
    values["do_sample"] = arguments.do_sample
    template = arguments.chat_template
    if template is not None:
        path = Path(template)
        values["chat_template"] = template
        if _is_file(path):
            try:
                values["chat_template"] = template_file("it", read_text(path))
            except ValueError as error:
                raise BundleError(
                    f"{path} cannot be the chat template: {error}", "check the path"
                ) from None
    return {name: value for name, value in values.items() if value is not None}


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a template, which no file can be called
        return False
