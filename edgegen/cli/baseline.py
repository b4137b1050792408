"""What verbs that compare benchmarks share: their arguments, and the exit status."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edgegen.errors import EdgegenError

if TYPE_CHECKING:
    from edgegen.report.bench.runs import Report

SLOWER = 3


def add_baseline_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what to compare with, and when to fail."""
    add = parser.add_argument
    add("--baseline", type=Path, metavar="RUN", help="a benchmark to compare with")
    add(
        "--baseline-bundle",
        metavar="NAME",
        help="compare with this bundle alone, of --baseline or else of the same benchmark; the "
        "name of its file, or the first digits of its hash",
    )
    add(
        "--fail-if-slower",
        type=_share,
        metavar="SHARE",
        help="end with 3 if a rate or the time to first token is shown to be worse by more than "
        "this than the baseline's, such as 5%% or 0.05, or if results were lost",
    )


def check_baseline_arguments(arguments: argparse.Namespace) -> None:
    """Refuse a limit without anything to compare with.

    Raises:
        EdgegenError: nothing to compare with is named.
    """
    named = arguments.baseline is not None or arguments.baseline_bundle is not None
    if arguments.fail_if_slower is not None and not named:
        raise EdgegenError(
            "--fail-if-slower compares with nothing",
            "name a --baseline RUN, or a --baseline-bundle NAME of the same benchmark",
        )


def judged(report: Report) -> int:
    """Say on stderr what is slower, lost or undecided; return the exit status, 0 or 3.

    Raises:
        EdgegenError: nothing could be compared, which must not pass as nothing being slower.
    """
    from edgegen.report.bench.judging import judge
    from edgegen.report.tables import printable

    sys.stdout.flush()
    regressed, lines = judge(report.comparisons)
    for line in lines:
        print(printable(line), file=sys.stderr)
    return SLOWER if regressed else 0


def _share(text: str) -> float:
    """Parse `5%` or `0.05`."""
    try:
        value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no share, expected 5% or 0.05") from None
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"{text} is out of range, expected 0% to below 100%")
    return value
