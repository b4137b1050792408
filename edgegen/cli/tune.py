"""`edgegen tune`: a recipe of several precisions for a size, or for a quality."""

from __future__ import annotations

import argparse
import json
import math
import re
import shutil
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from edgegen.cli.arguments import lengths, positive_float, positive_int, read_text
from edgegen.report.tables import PLAIN_WIDTH, Part, mib, table, to_text

if TYPE_CHECKING:
    from edgegen.tuning import RecipeQuality, Tuning

EXAMPLES = """examples:
  edgegen tune SmolLM2-135M-Instruct/ -o smollm2.json --target-bpw 4.5 --text chats.txt
  edgegen tune my-model/ -o mine.json --max-size 900MiB --weights int4_block32,int4_octav,int8
  edgegen tune my-model/ -o mine.json --max-kl 0.01 && edgegen build my-model/ --recipe mine.json
"""
_UNITS = {"": 1, "B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9} | {
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
}


def size(text: str) -> int:
    """Parse a number of bytes, with or without a unit."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([A-Za-z]*)", text)
    if found is None or found[2] not in _UNITS:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a size, expected a number of {', '.join(filter(None, _UNITS))}"
        )
    value = float(found[1]) * _UNITS[found[2]]
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text} is not a finite size")
    return int(value)


def names(text: str) -> tuple[str, ...]:
    """Parse names with commas between them."""
    return tuple(name.strip() for name in text.split(","))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    parser.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="a checkpoint folder")
    add = parser.add_argument
    add("-o", "--output", type=Path, required=True, metavar="FILE", help="the .json to write")
    budget = parser.add_mutually_exclusive_group(required=True)
    budget.add_argument(
        "--target-bpw",
        type=positive_float,
        metavar="BITS",
        help="most stored bits for each weight of the matrices, scales included",
    )
    budget.add_argument(
        "--max-size", type=size, metavar="SIZE", help="largest .tflite, such as 900MiB"
    )
    budget.add_argument(
        "--max-kl", type=positive_float, metavar="NATS", help="most KL divergence on the text"
    )
    add("--text", type=Path, metavar="FILE", help="a text like the model's use (a built-in one)")
    add("--tokens", type=positive_int, default=1024, metavar="N", help="how much of it (1024)")
    add(
        "--weights",
        type=names,
        metavar="W,W,...",
        help="what matrices may be stored as (several kinds of int4, and int8)",
    )
    add("--prefill", type=lengths, metavar="T,T,...", help="prefill lengths of the build, as there")
    add("--force", action="store_true", help="replace an existing output")


def run(arguments: argparse.Namespace) -> int:
    """Print what was chosen, beside the uniform recipes."""
    from edgegen.tuning import DEFAULT_WEIGHTS, Budget, tune
    from edgegen.verification import TEXT

    if arguments.target_bpw is not None:
        budget = Budget("bits_per_weight", arguments.target_bpw)
    elif arguments.max_size is not None:
        budget = Budget("tflite_bytes", arguments.max_size)
    else:
        budget = Budget("kl", arguments.max_kl)
    found = tune(
        arguments.checkpoint,
        arguments.output,
        budget,
        weights=arguments.weights or DEFAULT_WEIGHTS,
        text=TEXT if arguments.text is None else read_text(arguments.text),
        tokens=arguments.tokens,
        prefill_lens=arguments.prefill,
        force=arguments.force,
    )
    if arguments.json:
        print(json.dumps(found.as_dict(), indent=2))
        return 0
    terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if terminal else PLAIN_WIDTH
    print(to_text(_parts(found, terminal), terminal=terminal, width=width), end="")
    return 0


def _parts(found: Tuning, terminal: bool) -> list[Part]:
    columns = ("recipe", ">bits/weight", ">.tflite", ">predicted KL", ">KL", ">same top")
    counts = Counter(weight.chosen for weight in found.weights)
    stored = ", ".join(f"{count} as {name}" for name, count in counts.most_common())
    return [
        f"{found.checkpoint}, {found.tokens} tokens, prefill "
        f"{', '.join(map(str, found.spec.prefill_lens))}",
        table(columns, map(_row, (found.tuned, *found.uniform)), terminal=terminal),
        f"{found.output}: {stored}",
    ]


def _row(quality: RecipeQuality) -> list[str]:
    return [
        quality.name,
        f"{quality.bits_per_weight:.3f}",
        mib(quality.tflite_bytes),
        f"{quality.predicted_kl:.2g}",
        f"{quality.kl:.2g}",
        f"{quality.top1_agreement:.1%}",
    ]
