"""`edgegen verify`: the parity ladder of a checkpoint and its bundle."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edgegen.bundle.engine_types import DELEGATES
from edgegen.cli.arguments import lengths, positive_int, read_text
from edgegen.report.tables import PLAIN_WIDTH, Part, table, to_text

if TYPE_CHECKING:
    from edgegen.ladder import Rung
    from edgegen.verification import Verification

EXAMPLES = """examples:
  edgegen verify SmolLM2-135M-Instruct/
  edgegen verify SmolLM2-135M-Instruct/ --bundle smollm2.task --tokens 128
  edgegen verify my-model/ --recipe dynamic_wi4b32_afp32 --text verse.txt --json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    parser.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="a checkpoint folder")
    add = parser.add_argument
    add("--bundle", type=Path, metavar="BUNDLE", help="a .task made from it (one is made)")
    add("--recipe", metavar="R", help="see `edgegen list recipes` (the bundle's, or the usual one)")
    add("--text", type=Path, metavar="FILE", help="a text to compare on (a built-in one)")
    add("--tokens", type=positive_int, default=64, metavar="N", help="how much of it (64)")
    add("--delegate", choices=DELEGATES, default="cpu", help="who computes in the engine (cpu)")
    add("--prefill", type=lengths, metavar="T,T,...", help="without --bundle: prefill lengths")
    add("--kv-cache-len", type=int, help="without --bundle: room for prompt and answer (1280)")


def run(arguments: argparse.Namespace) -> int:
    """Print each rung; 0 when none failed."""
    from edgegen.verification import TEXT, verify

    found = verify(
        arguments.checkpoint,
        bundle=arguments.bundle,
        recipe=arguments.recipe,
        text=TEXT if arguments.text is None else read_text(arguments.text),
        tokens=arguments.tokens,
        delegate=arguments.delegate,
        prefill_lens=arguments.prefill,
        kv_cache_len=arguments.kv_cache_len,
    )
    if arguments.json:
        print(json.dumps(found.as_dict(), indent=2))
    else:
        terminal = sys.stdout.isatty()
        width = shutil.get_terminal_size().columns if terminal else PLAIN_WIDTH
        print(to_text(_parts(found, terminal), terminal=terminal, width=width), end="")
    return 0 if found.passed else 1


def _parts(found: Verification, terminal: bool) -> list[Part]:
    columns = [
        *("rung", "", ">max diff", ">mean diff", ">cosine", ">KL", ">same top", ">perplexity"),
        ">parts at",
    ]
    rungs = [[f"{i}", rung.status, *_cells(rung)] for i, rung in enumerate(found.rungs, 1)]
    parts: list[Part] = [
        f"{found.checkpoint}, recipe {found.recipe}, {found.tokens} tokens",
        table(columns, rungs, terminal=terminal),
    ]
    for i, rung in enumerate(found.rungs, 1):
        parts.append(f"{i}  {rung.name}" + (f": {rung.why}" if rung.why else ""))
        parts += [
            f"   {one.compared} against {one.reference}: cosine {one.parity.cosine:.6f}, "
            f"max diff {one.parity.max_abs_diff:.2g}"
            for one in rung.prefills
        ]
    return parts


def _cells(rung: Rung) -> list[str]:
    found = rung.agreement
    if found is None:
        return ["-"] * 7
    first = found.first_diverging_token
    return [
        f"{found.max_abs_diff:.2g}",
        f"{found.mean_abs_diff:.2g}",
        f"{found.cosine:.6f}",
        f"{found.kl:.2g}",
        f"{found.top1_agreement:.1%}",
        f"{found.reference_perplexity:.4g} > {found.perplexity:.4g}",
        "-" if first is None else str(first),
    ]
