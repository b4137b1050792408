"""`edgegen demo`: the whole way with the tiny model that is shipped."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

EXAMPLES = """\
example:
  edgegen demo -o build/tiny-shakespeare.task
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("build/tiny-shakespeare.task"),
        help="the .task to write (%(default)s)",
    )
    parser.add_argument(
        "--recipe", default="dynamic_wi8_afp32", help="see `edgegen list recipes` (%(default)s)"
    )
    parser.add_argument("--force", action="store_true", help="replace an existing output")


def run(arguments: argparse.Namespace) -> int:
    """Build, generate and measure, one after the other."""
    from edgegen import demo
    from edgegen.bundle import GenerateRequest, generate
    from edgegen.bundle.formats import check_bundle_name
    from edgegen.cli.arguments import safe_for_terminal
    from edgegen.cli.build_summary import summary
    from edgegen.device.bench.matrix import Matrix
    from edgegen.device.bench.method import Method
    from edgegen.device.bench.run import run_matrix
    from edgegen.pipeline import build
    from edgegen.report.bench.jsonl import report_dict
    from edgegen.report.bench.runs import report_of
    from edgegen.report.bench.terminal import render_terminal

    check_bundle_name(arguments.output)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    made = build(
        demo.CHECKPOINT,
        arguments.output,
        prefill_lens=demo.PREFILL_LENS,
        kv_cache_len=demo.KV_CACHE_LEN,
        recipe=arguments.recipe,
        force=arguments.force,
    )
    say = (lambda text, end="\n": None) if arguments.json else _say
    if not arguments.json:
        summary(made, sys.stdout)
    request = GenerateRequest(demo.PROMPT, max_output_tokens=120, temperature=0.7, seed=1)
    say(f'\n$ edgegen run {made.bundle.path} "ROMEO:..." --temperature 0.7 --seed 1')
    say(demo.PROMPT, end="")
    with generate(made.bundle, request) as generation:
        for piece in generation:
            say(safe_for_terminal(piece), end="")
        result = generation.result()
    say(f"\n\n$ edgegen bench {made.bundle.path}")
    with tempfile.TemporaryDirectory(prefix="edgegen-demo-") as folder:
        run_matrix(Matrix((made.bundle.path,), method=Method(repeats=3)), out=Path(folder))
        report = report_of([Path(folder)])
    if arguments.json:
        (cell,) = report_dict(report)["cells"]
        parts = {"build": made.as_dict(), "run": asdict(result), "bench": cell}
        print(json.dumps(parts, indent=2))
    else:
        print(render_terminal(report, terminal=sys.stdout.isatty(), width=100), end="")
    return 0


def _say(text: str, end: str = "\n") -> None:
    print(text, end=end, flush=True)
