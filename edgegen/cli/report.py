"""`edgegen report`: show what `edgegen bench` recorded."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from edgegen.errors import EdgegenError
from edgegen.files import atomic_output, refuse_overwrite

if TYPE_CHECKING:
    from edgegen.report.bench import Report

EXAMPLES = """examples:
  edgegen report runs/a
  edgegen report runs/a --html a.html
  edgegen report runs/new --baseline runs/old --fail-if-slower 5%
  edgegen report runs/a --markdown - > a.md
ends with 0, with 1 for errors, with 2 for wrong usage, and with --fail-if-slower with 3 where a
cell is slower by more than that or has no results any more
"""
SLOWER = 3
_STDOUT = "-"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    add = parser.add_argument
    add("runs", type=Path, nargs="+", metavar="RUN", help="a folder that bench wrote")
    add("--baseline", type=Path, metavar="RUN", help="what to compare with")
    add(
        "--fail-if-slower",
        type=_share,
        metavar="SHARE",
        help="end with 3 if a rate or the time to first token is shown to be worse by more than "
        "this than the baseline's, such as 5%% or 0.05",
    )
    for option, what in (
        ("html", "one page that needs nothing else"),
        ("markdown", "Markdown"),
        ("csv", "CSV, a row for each run"),
        ("csv-cells", "CSV, a row for each cell with its statistics"),
        ("jsonl", "JSON, a line for each cell with its values and statistics"),
        ("llama-bench", "llama-bench's JSONL"),
        ("manifest", "litertlm_manifest.json; wants --repo"),
    ):
        add(f"--{option}", metavar="FILE", help=f"write {what} (- for stdout)")
    add("--repo", metavar="OWNER/NAME", help="where the bundles are published, for --manifest")
    add("-f", "--force", action="store_true", help="replace files that exist")


def run(arguments: argparse.Namespace) -> int:
    """Print a table, or with --json all of it; write the files that were asked for."""
    from edgegen.report.bench import report_dict, report_of
    from edgegen.report.bench.terminal import render_terminal

    limit: float | None = arguments.fail_if_slower
    if limit is not None and arguments.baseline is None:
        raise EdgegenError("--fail-if-slower compares with nothing", "name a --baseline RUN")
    if arguments.manifest is not None and arguments.repo is None:
        raise EdgegenError(
            "--manifest does not know where the bundles are published", "add --repo OWNER/NAME"
        )
    wanted = _wanted(arguments)
    on_stdout = [target for target, _ in wanted if target == _STDOUT]
    if len(on_stdout) + bool(arguments.json) > 1:
        raise EdgegenError(
            "more than one result was asked for on stdout", "name files for the others"
        )
    for target, _ in wanted:
        if target != _STDOUT:
            refuse_overwrite(Path(target), force=arguments.force)
    report = report_of(arguments.runs, baseline=arguments.baseline, slower_limit=limit or 0.0)
    for target, render in wanted:
        _write(target, render(report), force=arguments.force)
    if arguments.json:
        print(json.dumps(report_dict(report), indent=2))
    elif not on_stdout:
        terminal = sys.stdout.isatty()
        width = shutil.get_terminal_size().columns if terminal else 160
        print(render_terminal(report, terminal=terminal, width=width), end="")
    return 0 if limit is None else _judged(report, limit)


def _wanted(arguments: argparse.Namespace) -> list[tuple[str, Callable[[Report], str]]]:
    """Return each file that was asked for, with what writes it."""
    from edgegen.report import bench

    renderers: dict[str, Callable[[Report], str]] = {
        "html": bench.render_html,
        "markdown": bench.render_markdown,
        "csv": bench.render_csv,
        "csv_cells": bench.render_cells_csv,
        "jsonl": bench.render_jsonl,
        "llama_bench": bench.render_llama_bench,
        "manifest": lambda r: bench.render_litertlm_manifest(r, repo=arguments.repo),
    }
    asked = {name: getattr(arguments, name) for name in renderers}
    return [(target, renderers[name]) for name, target in asked.items() if target is not None]


def _write(target: str, text: str, *, force: bool) -> None:
    if target == _STDOUT:
        print(text, end="")
        return
    with atomic_output(Path(target), force=force) as temporary:
        temporary.write_text(text, encoding="utf-8")
    print(f"wrote {target}", file=sys.stderr)


def _judged(report: Report, limit: float) -> int:
    """Say on stderr which cells are slower, and return the status for that.

    Raises:
        EdgegenError: nothing could be compared, which must not pass as nothing being slower.
    """
    from edgegen.report.bench.rows import advice, judgement

    comparison = report.comparison
    assert comparison is not None
    if not any(cell.figures or cell.lost for cell in comparison.cells):
        raise EdgegenError(
            "no cell of the baseline could be compared with one of this benchmark",
            "device, runner, delegate, workload and settings must be the same, with 2 results of "
            "each at least",
        )
    for cell in comparison.cells:
        for line in judgement(cell, limit):
            print(line, file=sys.stderr)
        if not cell.slower and cell.undecided and (advised := advice(cell)) is not None:
            print(f"note: {advised}", file=sys.stderr)
    return SLOWER if comparison.regressed else 0


def _share(text: str) -> float:
    """Parse `5%` or `0.05`."""
    try:
        value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no share, expected 5% or 0.05") from None
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"{text} is out of range, expected 0% to below 100%")
    return value
