"""`edgegen bench`: measure bundles."""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgegen.bundle.engine_types import DELEGATES
from edgegen.cli.arguments import non_negative_float, positive_float, positive_int
from edgegen.cli.baseline import add_baseline_arguments, check_baseline_arguments, judged
from edgegen.errors import DeviceError, EdgegenError

if TYPE_CHECKING:
    from edgegen.device.bench.matrix import Matrix
    from edgegen.device.bench.run import BenchResult
    from edgegen.report.bench.runs import Report

EXAMPLES = """examples:
  edgegen bench model.task
  edgegen bench model.task -p 128 -n 64 --repeats 10 --out runs/a
  edgegen bench old.task new.task --test pp512 --test tg128@d1024
  edgegen bench model.task --device R5CT10ABCDE --engine-dir litert_lm/ --delegate gpu
  edgegen bench old.task new.task --repeats 10 --baseline-bundle old.task --fail-if-slower 5%
  edgegen bench --matrix nightly.toml --out runs/b --baseline runs/a --fail-if-slower 5%

exit status: 0; 1 if something could not be measured, or nothing could be compared; 2 for usage; 3
if --fail-if-slower found something slower, or results lost
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    add = parser.add_argument
    add("bundles", nargs="*", type=Path, metavar="BUNDLE", help=".task and .litertlm files")
    add(
        "-d",
        "--device",
        action="append",
        metavar="NAME",
        help="host, or a serial number; again for more devices, measured at once (host)",
    )
    add("--runner", metavar="NAME", help="what measures, see `edgegen list runners`")
    add(
        "--delegate",
        action="append",
        choices=DELEGATES,
        help="who computes; again for both (cpu)",
    )
    add("-p", "--prefill-tokens", type=positive_int, metavar="N", help="prompt length (what fits)")
    add(
        "-n",
        "--decode-tokens",
        type=positive_int,
        metavar="N",
        help="tokens to generate (128, or what fits)",
    )
    add(
        "--test",
        action="append",
        metavar="NAME",
        help="such as pp512, tg128, pp512+tg128, pp512@d1024; again for more",
    )
    add("--repeats", type=positive_int, metavar="N", help="runs to keep (5)")
    add("--warmup", type=positive_int, metavar="N", help="runs before them (1)")
    add("--threads", type=positive_int, metavar="N", help="CPU threads (the engine's choice)")
    add("--activations", choices=("f32", "f16"), help="precision between layers (the engine's)")
    add("--cpu-mask", type=_mask, metavar="HEX", help="CPUs to pin the engine to, such as f0")
    add("--cooldown", type=non_negative_float, metavar="S", help="seconds of rest before a run (0)")
    add(
        "--max-celsius",
        type=positive_float,
        metavar="C",
        help="begin no run while a zone of the device is hotter",
    )
    add(
        "--thermal-wait",
        type=non_negative_float,
        metavar="S",
        help="longest wait for a cool device (300)",
    )
    add("--engine-dir", type=Path, metavar="DIR", help="the engine's program and libraries")
    add("--app", metavar="PACKAGE", help="the app that measures, with --runner app")
    add("--python", metavar="PATH", help="Python on the board, with --runner board (python3)")
    add("--timeout", type=positive_float, metavar="S", help="longest time for a run (600)")
    add("--sample-interval", type=positive_float, metavar="S", help="between two samples (0.1)")
    add("--matrix", type=Path, metavar="FILE.toml", help="what to measure; arguments go before it")
    add("--out", type=Path, metavar="DIR", help="keep rows, logs and series, and go on with them")
    add_baseline_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Measure, then print tables or, with --json, everything."""
    from edgegen.device.bench.run import run_matrix

    check_baseline_arguments(arguments)
    matrix = _matrix(arguments)
    _check_baseline(arguments, matrix)
    with _folder(arguments.out) as folder:
        try:
            result = run_matrix(matrix, out=folder)
        except KeyboardInterrupt:
            if arguments.out is not None:
                _note(f"what was measured is in {folder}; the same command goes on with it")
            raise
        return _tell(result, folder, arguments)


def _tell(result: BenchResult, folder: Path, arguments: argparse.Namespace) -> int:
    from edgegen.report.bench.runs import report_of

    for note in result.notes:
        _note(note)
    if not result.records:
        raise DeviceError("nothing was measured", "see the notes above, and run it again")
    report = report_of(
        [folder],
        baseline=arguments.baseline,
        baseline_bundle=arguments.baseline_bundle,
        slower_limit=arguments.fail_if_slower or 0.0,
        subset=True,  # what was not asked for is not lost
    )
    if arguments.json:
        _print_json(result, report)
    else:
        from edgegen.report.bench.terminal import render_terminal

        terminal = sys.stdout.isatty()
        width = shutil.get_terminal_size().columns if terminal else 100
        print(render_terminal(report, terminal=terminal, width=width), end="")
    if arguments.fail_if_slower is not None and (status := judged(report)):
        return status
    measured = {record.cell for record in result.records if _counts(record)}
    return 0 if measured >= set(result.cells) else 1


def _print_json(result: BenchResult, report: Report) -> None:
    import msgspec

    from edgegen.report.bench.jsonl import report_dict

    told = report_dict(report)
    found = {
        "run_id": result.run_id,
        "records": msgspec.to_builtins(result.records),
        "summaries": told["cells"],
        "comparison": told["comparison"],
    }
    print(json.dumps(found, indent=2))


def _check_baseline(arguments: argparse.Namespace, matrix: Matrix) -> None:
    """Refuse a baseline that is none before anything runs: not after an hour of measuring.

    Raises:
        EdgegenError: it cannot be read, is this benchmark, or has no such bundle.
    """
    from edgegen.report.bench.cells import summaries_of
    from edgegen.report.bench.records import read_run
    from edgegen.report.bench.runs import names_bundle, of_bundle

    name: str | None = arguments.baseline_bundle
    baseline: Path | None = arguments.baseline
    itself = baseline is not None and _same_folder(baseline, arguments.out)
    if itself and name is None:
        raise EdgegenError(
            f"{baseline} would be compared with itself",
            "name another benchmark, or one bundle of this one: --baseline-bundle NAME",
        )
    if baseline is not None and not itself:
        before = read_run(baseline)
        if name is not None:
            of_bundle(summaries_of(before.records), name)
    elif name is not None:
        files = ", ".join(path.name for path in matrix.bundles)
        if not any(names_bundle(name, path.name, None) for path in matrix.bundles):
            raise EdgegenError(
                f"no bundle to measure is called '{name}'", f"name one of them: {files}"
            )
        if len(matrix.bundles) < 2:
            raise EdgegenError(
                f"nothing is measured beside '{name}'",
                "name two bundles, which are then measured in turns",
            )


def _same_folder(baseline: Path, out: Path | None) -> bool:
    from edgegen.report.bench.records import RECORDS_FILE

    if out is None:
        return False
    return baseline.resolve() in (out.resolve(), out.resolve() / RECORDS_FILE)


def _counts(record: object) -> bool:
    return getattr(record, "phase", "") == "kept" and getattr(record, "failure", None) is None


def _matrix(arguments: argparse.Namespace) -> Matrix:
    """Put the arguments and the file together; arguments go before."""
    from edgegen.device.bench.matrix import Matrix, read_matrix
    from edgegen.device.bench.run import with_counts
    from edgegen.device.bench.workload import parse_workload

    if arguments.matrix is None and not arguments.bundles:
        raise EdgegenError("no bundle is named", "name one, or a matrix: --matrix FILE.toml")
    matrix = Matrix(()) if arguments.matrix is None else read_matrix(arguments.matrix)
    given = {
        "bundles": tuple(arguments.bundles),
        "devices": tuple(arguments.device or ()),
        "runner": arguments.runner,
        "delegates": tuple(arguments.delegate or ()),
        "tests": tuple(map(parse_workload, arguments.test or ())),
        "threads": _one(arguments.threads),
        "activations": _one(arguments.activations),
        "cpu_masks": _one(arguments.cpu_mask),
        "engine_dir": arguments.engine_dir,
        "app": arguments.app,
        "python": arguments.python,
    }
    method = {
        "repeats": arguments.repeats,
        "warmup": arguments.warmup,
        "cooldown_s": arguments.cooldown,
        "max_celsius": arguments.max_celsius,
        "thermal_wait_s": arguments.thermal_wait,
        "timeout_s": arguments.timeout,
        "sample_interval_s": arguments.sample_interval,
    }
    matrix = replace(
        matrix,
        method=replace(matrix.method, **{k: v for k, v in method.items() if v is not None}),
        **{name: value for name, value in given.items() if value},
    )
    if arguments.prefill_tokens or arguments.decode_tokens:
        if not arguments.test:
            matrix = replace(matrix, tests=())
        matrix = with_counts(matrix, arguments.prefill_tokens, arguments.decode_tokens)
    return matrix


def _one(value: object) -> tuple[object, ...]:
    return () if value is None else (value,)


@contextlib.contextmanager
def _folder(out: Path | None) -> Iterator[Path]:
    """Give a folder that is removed, unless the user named one."""
    if out is not None:
        yield out
        return
    with tempfile.TemporaryDirectory(prefix="edgegen-bench-") as name:
        yield Path(name)


def _note(text: str) -> None:
    from edgegen.report.tables import printable

    print(printable(f"note: {text}"), file=sys.stderr)


def _mask(text: str) -> int:
    from edgegen.device.bench.matrix import parse_mask

    mask = parse_mask(text)
    if mask is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no mask of CPUs in hex, such as f0")
    return mask
