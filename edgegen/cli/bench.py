"""`edgegen bench`: measure a bundle."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path

from edgegen.bundle.engine_types import DELEGATES
from edgegen.cli.arguments import positive_float, positive_int
from edgegen.device import RUNNERS, bench
from edgegen.report import bench_record, render_bench

EXAMPLES = """examples:
  edgegen bench model.task
  edgegen bench model.task -p 128 -n 64 --repeats 5
  edgegen bench model.task --delegate gpu --json > gpu.json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="a .task file")
    add = parser.add_argument
    add("--device", default="host", metavar="NAME", help=f"where: {', '.join(RUNNERS)} (host)")
    add("--delegate", choices=DELEGATES, default="cpu", help="who computes (cpu)")
    add(
        "-p",
        "--prefill-tokens",
        type=positive_int,
        metavar="N",
        help="prompt length (the longest prefill signature that fits)",
    )
    add(
        "-n",
        "--decode-tokens",
        type=positive_int,
        metavar="N",
        help="tokens to generate (128, or what fits)",
    )
    add("--repeats", type=positive_int, default=3, metavar="N", help="runs to keep (3)")
    add("--warmup", type=positive_int, default=1, metavar="N", help="runs before them (1)")
    add("--threads", type=positive_int, metavar="N", help="CPU threads (the engine's choice)")
    add("--timeout", type=positive_float, metavar="SECONDS", help="longest time for one run")


def run(arguments: argparse.Namespace) -> int:
    """Measure, then print a table or, with --json, the whole record."""
    measured = bench(
        arguments.bundle,
        device=arguments.device,
        delegate=arguments.delegate,
        prefill_tokens=arguments.prefill_tokens,
        decode_tokens=arguments.decode_tokens,
        repeats=arguments.repeats,
        warmup=arguments.warmup,
        threads=arguments.threads,
        timeout_s=arguments.timeout,
    )
    record = bench_record(measured)
    if arguments.json:
        print(json.dumps(record.as_dict(), indent=2))
    else:
        terminal = sys.stdout.isatty()
        width = shutil.get_terminal_size().columns if terminal else 100
        print(render_bench(record, terminal=terminal, width=width), end="")
    return 0
