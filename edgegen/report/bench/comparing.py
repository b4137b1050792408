"""Two benchmarks side by side: which cells are the same thing, and which of them differ."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from edgegen.device.bench.method import TRANSIENT
from edgegen.report.bench.cells import CellSummary, timed_values
from edgegen.report.bench.figures import COMPARED, FIGURES, SPEEDS
from edgegen.report.bench.wording import device_identity, device_name, short
from edgegen.report.statistics import Comparison, compare, interleaved_pairs

LEAST_RUNS = 2  # of each side: one run says nothing of its noise


@dataclass(frozen=True)
class ComparedFigure:
    """One figure of a pair of cells.

    Attributes:
        name: A key of `FIGURES`.
        comparison: What the test found, the first benchmark being the baseline.
    """

    name: str
    comparison: Comparison


@dataclass(frozen=True)
class ComparedCell:
    """A cell in both benchmarks.

    Attributes:
        baseline: The cell before.
        candidate: The cell now.
        differs: What is not the same in both, besides the numbers: bundle, engine, system.
        figures: What was compared; empty where one side has no results.
        interleaved: Whether the runs of both took turns, and were compared in pairs.
    """

    baseline: CellSummary
    candidate: CellSummary
    differs: tuple[str, ...]
    figures: tuple[ComparedFigure, ...]
    interleaved: bool

    @property
    def lost(self) -> bool:
        """Whether the baseline has results and the candidate none."""
        return bool(self.baseline.kept) and not self.candidate.kept

    @property
    def speeds_lost(self) -> tuple[str, ...]:
        """Names of speeds that the baseline's runs could be compared by, and the candidate's not.

        Too few of them tell it, or one of them is 0.
        """
        compared = {each.name for each in self.figures}
        return tuple(
            name
            for name in SPEEDS
            if name not in compared
            and len(before := self.baseline.values.get(name, ())) >= LEAST_RUNS
            and min(before) > 0
        )

    @property
    def failures_more(self) -> bool:
        """Whether more runs failed than the baseline's share of failures lets expect.

        Failures that say nothing of the cell, such as an unplugged device, do not count.
        """
        (failed, rows), (failed_before, rows_before) = map(_failed, (self.candidate, self.baseline))
        return failed > math.ceil(failed_before * rows / max(rows_before, 1))

    @property
    def slower(self) -> tuple[ComparedFigure, ...]:
        """The speeds that were shown to be slower by more than the limit."""
        return tuple(each for each in self._speeds if each.comparison.slower_than_limit)

    @property
    def undecided(self) -> tuple[ComparedFigure, ...]:
        """The speeds that may be slower by more than the limit, or may not."""
        return tuple(
            each
            for each in self._speeds
            if not each.comparison.slower_than_limit and not each.comparison.within_limit
        )

    @property
    def _speeds(self) -> Iterator[ComparedFigure]:
        return (each for each in self.figures if each.name in SPEEDS)


@dataclass(frozen=True)
class RunComparison:
    """All that two benchmarks, or two bundles of one, have in common.

    Attributes:
        baseline: Name of what is compared with.
        candidate: Name of what is judged.
        slower_limit: A loss up to this share is not called slower.
        cells: Cells in both.
        only_baseline: Cells that nothing stands beside.
        only_candidate: The same, of what is judged.
        subset: Whether the candidate was asked for some of the baseline's cells only, so that the
            absence of others is no loss.
    """

    baseline: str
    candidate: str
    slower_limit: float
    cells: tuple[ComparedCell, ...]
    only_baseline: tuple[CellSummary, ...]
    only_candidate: tuple[CellSummary, ...]
    subset: bool = False


def compare_cells(
    baseline: Sequence[CellSummary],
    candidates: Sequence[CellSummary],
    *,
    slower_limit: float = 0.0,
    names: tuple[str, str] = ("", ""),
    subset: bool = False,
) -> RunComparison:
    """Put the cells of two benchmarks beside each other and compare their figures.

    Two cells belong together if device, runner, delegate, workload and settings are the same. The
    bundle's name decides where several are left; one on each side may have different names, since
    a new bundle is what is mostly compared.

    Args:
        baseline: Cells before.
        candidates: Cells now.
        slower_limit: A loss up to this share is not called slower, such as 0.05.
        names: What both are called.
        subset: Whether the candidates were asked for some of the baseline's cells only.
    """
    left = list(baseline)
    pairs: list[tuple[CellSummary, CellSummary]] = []
    alone: list[CellSummary] = []
    # By name first, so that what is left for the second look is without a namesake.
    for by_name in (True, False):
        waiting = list(candidates) if by_name else alone
        alone = []
        for candidate in waiting:
            fitting = [c for c in left if _key(c, by_name) == _key(candidate, by_name)]
            rivals = [c for c in waiting if _key(c, by_name) == _key(candidate, by_name)]
            if len(fitting) == 1 and len(rivals) == 1:
                pairs.append((fitting[0], candidate))
            else:
                alone.append(candidate)
        left = [c for c in left if not any(c is paired for paired, _ in pairs)]
    order = {id(candidate): place for place, candidate in enumerate(candidates)}
    pairs.sort(key=lambda pair: order[id(pair[1])])
    return RunComparison(
        baseline=names[0],
        candidate=names[1],
        slower_limit=slower_limit,
        subset=subset,
        cells=tuple(_compared(*pair, slower_limit) for pair in pairs),
        only_baseline=tuple(left),
        only_candidate=tuple(alone),
    )


def _failed(cell: CellSummary) -> tuple[int, int]:
    """Return how many runs failed, and of how many, without those that say nothing of the cell."""
    passing = sum(run.failure.kind in TRANSIENT for run in cell.failures)
    return len(cell.failures) - passing, cell.rows - passing


def _key(cell: CellSummary, by_name: bool) -> tuple[object, ...]:
    record = cell.example
    return (
        device_identity(record.device),
        record.engine.runner,
        record.delegate,
        record.workload,
        record.threads,
        record.activations,
        record.cpu_mask,
        # Figures of the engine's benchmark and of a session are not to be compared.
        next((flag for flag in record.flags if flag.startswith("way=")), None),
        record.bundle.name if by_name else None,
    )


def _compared(baseline: CellSummary, candidate: CellSummary, limit: float) -> ComparedCell:
    figures = []
    interleaved = False
    for name in COMPARED:
        (before, before_s), (now, now_s) = (timed_values(c, name) for c in (baseline, candidate))
        # A ratio wants values above 0, which a peak or an energy of nothing is not.
        if min(len(before), len(now)) < LEAST_RUNS or min(*before, *now) <= 0:
            continue
        pairs = interleaved_pairs(before_s, now_s)
        interleaved = interleaved or pairs is not None
        found = compare(
            before,
            now,
            higher_is_better=FIGURES[name].higher_is_better is True,
            slower_limit=limit,
            pairs=pairs,
        )
        figures.append(ComparedFigure(name, found))
    return ComparedCell(
        baseline=baseline,
        candidate=candidate,
        differs=tuple(_differences(baseline, candidate)),
        figures=tuple(figures),
        interleaved=interleaved,
    )


def _differences(baseline: CellSummary, candidate: CellSummary) -> Iterator[str]:
    """Yield what was changed between two cells: each may be the reason."""
    before, now = baseline.example, candidate.example
    if before.bundle.sha256 != now.bundle.sha256:
        recipes = (before.bundle.recipe, now.bundle.recipe)
        told = f" ({recipes[0]} → {recipes[1]})" if recipes[0] != recipes[1] else ""
        yield short(f"bundle{told}", 100)
    if before.engine.version != now.engine.version:
        yield f"engine {short(before.engine.version, 20)} → {short(now.engine.version, 20)}"
    elif before.engine.files_sha256 != now.engine.files_sha256:
        yield "engine's files"
    systems = [
        (r.device.get("system"), r.device.get("build_fingerprint"), r.device.get("kernel"))
        for r in (before, now)
    ]
    if systems[0] != systems[1]:
        yield f"system of {device_name(now.device)}"
    if before.edgegen_version != now.edgegen_version:
        yield f"edgegen {short(before.edgegen_version, 20)} → {short(now.edgegen_version, 20)}"
