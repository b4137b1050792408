"""Everything a report is made of: benchmarks, their cells, and what they are compared with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgegen.report.bench.cells import CellSummary, summaries_of
from edgegen.report.bench.comparing import RunComparison, compare_cells
from edgegen.report.bench.records import BenchmarkRun, read_run


@dataclass(frozen=True)
class Report:
    """Benchmarks to be shown together.

    Attributes:
        runs: The benchmarks, with the folders where their series lie.
        cells: The cells of all of them, in order.
        comparison: The same beside a baseline, `None` without one.
        notes: What was left out while reading.
    """

    runs: tuple[BenchmarkRun, ...]
    cells: tuple[CellSummary, ...]
    comparison: RunComparison | None = None
    notes: tuple[str, ...] = ()

    def folder_of(self, cell: CellSummary) -> Path:
        """Return where a cell's logs and series lie."""
        return next(run.folder for run in self.runs if run.name == cell.run)


def report_of(
    paths: Sequence[Path], *, baseline: Path | None = None, slower_limit: float = 0.0
) -> Report:
    """Read benchmarks and summarize them.

    Args:
        paths: Folders of benchmarks, or their `records.jsonl`.
        baseline: What to compare them with.
        slower_limit: A loss up to this share is not called slower.

    Raises:
        RecordsError: one of them cannot be read.
    """
    runs = _told_apart([read_run(path) for path in paths])
    cells = tuple(cell for run in runs for cell in summaries_of(run.records, run=run.name))
    notes = tuple(note for run in runs for note in run.notes)
    if baseline is None:
        return Report(runs, cells, None, notes)
    before = read_run(baseline)
    compared = compare_cells(
        summaries_of(before.records, run=before.name), cells, slower_limit=slower_limit
    )
    return Report(runs, cells, replace(compared, baseline=before.name), (*notes, *before.notes))


def _told_apart(runs: Sequence[BenchmarkRun]) -> tuple[BenchmarkRun, ...]:
    """Give folders of the same name different ones."""
    counts = Counter(run.name for run in runs)
    return tuple(
        run
        if counts[run.name] == 1
        else replace(run, name=f"{run.folder.parent.name}/{run.name}")
        if len({r.folder.parent.name for r in runs if r.name == run.name}) == counts[run.name]
        else replace(run, name=f"{run.name} ({number})")
        for number, run in enumerate(runs, start=1)
    )
