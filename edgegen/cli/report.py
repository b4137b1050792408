"""`edgegen report`: show what `edgegen bench` recorded."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from edgegen.cli.baseline import add_baseline_arguments, check_baseline_arguments, judged
from edgegen.errors import EdgegenError
from edgegen.files import atomic_output, refuse_overwrite

if TYPE_CHECKING:
    from edgegen.report.bench import Report

EXAMPLES = """examples:
  edgegen report runs/a
  edgegen report runs/a --html a.html
  edgegen report runs/new --baseline runs/old --fail-if-slower 5%
  edgegen report runs/ab --baseline-bundle old.task --fail-if-slower 5%
  edgegen report runs/a --markdown - > a.md
ends with 0, with 1 for errors, with 2 for wrong usage, and with --fail-if-slower with 3 where a
cell is slower by more than that or has lost results, and with 1 where nothing could be compared
"""
_STDOUT = "-"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    add = parser.add_argument
    add("runs", type=Path, nargs="+", metavar="RUN", help="a folder that bench wrote")
    add_baseline_arguments(parser)
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
    from edgegen.report.bench import left_out_of_manifest, report_dict, report_of
    from edgegen.report.bench.terminal import render_terminal

    check_baseline_arguments(arguments)
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
    report = report_of(
        arguments.runs,
        baseline=arguments.baseline,
        baseline_bundle=arguments.baseline_bundle,
        slower_limit=arguments.fail_if_slower or 0.0,
    )
    for target, render in wanted:
        _write(target, render(report), force=arguments.force)
    if arguments.json:
        print(json.dumps(report_dict(report), indent=2))
    elif not on_stdout:
        terminal = sys.stdout.isatty()
        width = shutil.get_terminal_size().columns if terminal else 160
        print(render_terminal(report, terminal=terminal, width=width), end="")
    if arguments.manifest is not None:
        for line in left_out_of_manifest(report):
            print(f"note: {line}", file=sys.stderr)
    return 0 if arguments.fail_if_slower is None else judged(report)


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
