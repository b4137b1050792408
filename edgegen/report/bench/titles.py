"""What cells and comparisons are called, so that no two things in a report bear one name."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from edgegen.report.bench.wording import device_name, settings, short

if TYPE_CHECKING:
    from edgegen.report.bench.cells import CellSummary
    from edgegen.report.bench.comparing import RunComparison

_HASH = 8  # digits that tell files apart


def title(cell: CellSummary) -> str:
    """Return what a cell is, on one line."""
    return ", ".join(part for part in title_words(cell) if part)


def title_words(cell: CellSummary) -> tuple[str, str, str, str]:
    """Return bundle, test, how and where it was run, and what else tells it apart (may be "")."""
    record = cell.example
    where = f"{settings(record)} on {device_name(record.device)}"
    return short(record.bundle.name, 60), short(record.workload, 40), where, cell.apart


def heading(comparison: RunComparison, *, several: bool) -> str:
    """Return what a comparison is beside what, for after the word "beside"."""
    told = short(comparison.baseline, 100)
    return f"{told}: {short(comparison.candidate, 100)}" if several else told


def told_apart(cells: Sequence[CellSummary], *, several_runs: bool) -> tuple[CellSummary, ...]:
    """Return cells whose titles differ.

    Args:
        cells: All that one report shows.
        several_runs: Whether they come from several benchmarks: then each is told with its own.
    """
    same: dict[str, list[CellSummary]] = {}
    named = [replace(c, apart=short(c.run, 80) if several_runs else "") for c in cells]
    for cell in named:
        same.setdefault(title(cell), []).append(cell)
    more = {id(cell): _more(cell, group) for group in same.values() for cell in group}
    return tuple(
        replace(cell, apart=", ".join(filter(None, (cell.apart, *more[id(cell)]))))
        for cell in named
    )


def _more(cell: CellSummary, group: Sequence[CellSummary]) -> list[str]:
    """Return what tells a cell from those that would be called the same."""
    if len(group) == 1:
        return []
    differing = [fact for fact in _FACTS if len({fact(each) for each in group}) > 1]
    told = [fact(cell) for fact in differing]
    if sum([fact(each) for fact in differing] == told for each in group) > 1:
        told.append(short(cell.cell, 100))
    return told


def _files(cell: CellSummary) -> str:
    files = sorted(cell.example.engine.files_sha256.items())
    digest = hashlib.sha256(repr(files).encode("utf-8", "backslashreplace")).hexdigest()
    return f"engine's files {digest[:_HASH]}"


# What keeps rows apart that are not of one cell; see `summaries_of`.
_FACTS: tuple[Callable[[CellSummary], str], ...] = (
    lambda cell: f"bundle {short(cell.example.bundle.sha256[:_HASH])}",
    lambda cell: f"by {short(cell.example.engine.runner, 30)}",
    lambda cell: f"engine {short(cell.example.engine.version or 'of unknown version', 30)}",
    _files,
    lambda cell: f"device {short(cell.example.device.get('serial') or 'without a serial', 40)}",
)
