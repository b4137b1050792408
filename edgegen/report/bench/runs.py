"""Everything a report is made of: benchmarks, their cells, and what they are compared with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from string import hexdigits

from edgegen.report.bench.cells import CellSummary, summaries_of
from edgegen.report.bench.comparing import RunComparison, compare_cells
from edgegen.report.bench.records import BenchmarkRun, RecordsError, read_run
from edgegen.report.bench.titles import told_apart
from edgegen.report.bench.wording import short

_HASH = 6  # digits of a hash that may stand for a bundle's name, at least
_Cells = tuple[CellSummary, ...]


@dataclass(frozen=True)
class Report:
    """Benchmarks to be shown together.

    Attributes:
        runs: The benchmarks, with the folders where their series lie.
        cells: The cells of all of them, in order.
        comparisons: Each of the benchmarks beside a baseline, or each bundle of them; empty
            without one.
        notes: What was left out while reading, the baseline included.
    """

    runs: tuple[BenchmarkRun, ...]
    cells: _Cells
    comparisons: tuple[RunComparison, ...] = ()
    notes: tuple[str, ...] = ()

    def folder_of(self, cell: CellSummary) -> Path:
        """Return where a cell's logs and series lie."""
        return next(run.folder for run in self.runs if run.name == cell.run)


def report_of(
    paths: Sequence[Path],
    *,
    baseline: Path | None = None,
    baseline_bundle: str | None = None,
    slower_limit: float = 0.0,
    subset: bool = False,
) -> Report:
    """Read benchmarks, summarize them, and compare each of them with a baseline.

    Args:
        paths: Folders of benchmarks, or their `records.jsonl`.
        baseline: What to compare them with, each on its own.
        baseline_bundle: Compare with this bundle of the baseline alone, each other bundle on its
            own; without a baseline, with this bundle of the same benchmark. A name, or the first
            digits of a hash.
        slower_limit: A loss up to this share is not called slower.
        subset: Whether the benchmarks were asked for some of the baseline's cells only.

    Raises:
        RecordsError: one of them cannot be read, would be compared with itself, or has no such
            bundle.
    """
    read = [read_run(path) for path in paths]
    before = None if baseline is None else read_run(baseline)
    itself = before is not None and before.file in {run.file for run in read}
    if itself and baseline_bundle is None:
        raise RecordsError(
            f"{baseline} would be compared with itself",
            "name another benchmark, or one bundle of this one: --baseline-bundle NAME",
        )
    other = [] if before is None or itself else [before]
    named = _named([*read, *other])
    runs = named[: len(read)]
    cells = told_apart(
        [cell for run in runs for cell in summaries_of(run.records, run=run.name)],
        several_runs=len(runs) > 1,
    )
    of_run = {run.name: tuple(c for c in cells if c.run == run.name) for run in runs}
    if other:
        base_name = named[-1].name
        found = summaries_of(named[-1].records, run=base_name)
        of_run[base_name] = told_apart(found, several_runs=False)
    elif before is not None:
        base_name = next(run.name for run in runs if run.file == before.file)
    comparisons: list[RunComparison] = []
    for run in runs if before is not None or baseline_bundle is not None else ():
        base = run.name if before is None else base_name
        # Of several benchmarks, the baseline's own may have no other bundle.
        alone = before is None or len(runs) == 1
        for names, left, right in _sides(run.name, base, of_run, baseline_bundle, alone=alone):
            comparisons.append(
                compare_cells(left, right, slower_limit=slower_limit, names=names, subset=subset)
            )
    notes = tuple(note for run in named for note in run.notes)
    return Report(runs, cells, tuple(comparisons), notes)


def _sides(
    run: str, base: str, of_run: dict[str, _Cells], bundle: str | None, *, alone: bool
) -> Iterator[tuple[tuple[str, str], _Cells, _Cells]]:
    """Yield what to compare of a benchmark: names, the baseline's cells, and its own."""
    if bundle is None:
        yield (base, run), of_run[base], of_run[run]
        return
    left = of_bundle(of_run[base], bundle)
    chosen = _file(left[0])
    others: dict[tuple[str, str], list[CellSummary]] = {}
    for cell in of_run[run]:
        if run != base or _file(cell) != chosen:
            others.setdefault(_file(cell), []).append(cell)
    if not others and alone:
        raise RecordsError(
            f"{run} has no bundle beside {short(chosen[0])}",
            "measure both in one benchmark, in turns: edgegen bench OLD NEW --out FOLDER",
        )
    names = Counter(name for name, _ in (chosen, *others))
    for file, right in others.items():
        told = [
            short(name if names[name] == 1 else f"{name} ({sha256[:8]})", 80)
            for name, sha256 in (chosen, file)
        ]
        if run != base:
            told = [f"{told[0]} of {base}", f"{told[1]} of {run}"]
        yield (told[0], told[1]), left, tuple(right)


def _file(cell: CellSummary) -> tuple[str, str]:
    bundle = cell.example.bundle
    return bundle.name, bundle.sha256


def names_bundle(name: str, file: str, sha256: str | None) -> bool:
    """Tell whether a name is a bundle's: its file name, or the first digits of its hash."""
    if sha256 is None:  # not known yet
        digits = all(digit in hexdigits for digit in name)
    else:
        digits = sha256.startswith(name.lower())
    return name == file or (len(name) >= _HASH and digits)


def of_bundle(cells: Sequence[CellSummary], name: str) -> _Cells:
    """Return the cells of one bundle.

    Args:
        cells: Cells of a benchmark.
        name: The bundle's file name, or the first digits of its hash, six or more.

    Raises:
        RecordsError: there is none, or several are called so.
    """
    files = dict.fromkeys(map(_file, cells))
    fitting = [file for file in files if names_bundle(name, *file)]
    if len(fitting) == 1:
        return tuple(cell for cell in cells if _file(cell) == fitting[0])
    known = ", ".join(f"{short(file, 60)} ({short(sha256[:8])})" for file, sha256 in files)
    raise RecordsError(
        f"{len(fitting) or 'no'} bundle{'s' * bool(fitting)} of the baseline "
        f"{'are' if fitting else 'is'} called '{short(name)}'",
        f"name one of them, or the first digits of its hash: {short(known, 400)}",
    )


def _named(runs: Sequence[BenchmarkRun]) -> tuple[BenchmarkRun, ...]:
    """Give folders of the same name different ones."""
    counts = Counter(run.name for run in runs)
    return tuple(
        run
        if counts[run.name] == 1
        else replace(run, name=short(f"{run.folder.parent.name}/{run.name}"))
        if len({r.folder.parent.name for r in runs if r.name == run.name}) == counts[run.name]
        else replace(run, name=f"{run.name} ({number})")
        for number, run in enumerate(runs, start=1)
    )
