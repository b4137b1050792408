"""Two benchmarks side by side: which cells are the same thing, and which of them differ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from edgegen.report.bench.cells import CellSummary, timed_values
from edgegen.report.bench.figures import COMPARED, FIGURES, SPEEDS
from edgegen.report.bench.wording import device_identity, device_name, short
from edgegen.report.statistics import Comparison, compare, interleaved_pairs

_LEAST_RUNS = 2  # of each side: one run says nothing of its noise


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
        lost: Whether the baseline has results and the candidate failures alone.
    """

    baseline: CellSummary
    candidate: CellSummary
    differs: tuple[str, ...]
    figures: tuple[ComparedFigure, ...]
    interleaved: bool
    lost: bool

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
    """All that two benchmarks have in common.

    Attributes:
        baseline: Name of the benchmark before.
        cells: Cells in both.
        only_baseline: Cells that nothing stands beside.
        only_candidate: The same, of the new benchmark.
    """

    baseline: str
    cells: tuple[ComparedCell, ...]
    only_baseline: tuple[CellSummary, ...]
    only_candidate: tuple[CellSummary, ...]

    @property
    def regressed(self) -> tuple[ComparedCell, ...]:
        """Cells that are slower, or that have no results any more."""
        return tuple(cell for cell in self.cells if cell.lost or cell.slower)


def compare_cells(
    baseline: Sequence[CellSummary],
    candidates: Sequence[CellSummary],
    *,
    slower_limit: float = 0.0,
) -> RunComparison:
    """Put the cells of two benchmarks beside each other and compare their figures.

    Two cells belong together if device, runner, delegate, workload and settings are the same. The
    bundle's name decides where several are left; one on each side may have different names, since
    a new bundle is what is mostly compared.

    Args:
        baseline: Cells before.
        candidates: Cells now.
        slower_limit: A loss up to this share is not called slower, such as 0.05.
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
        baseline=baseline[0].run if baseline else "",
        cells=tuple(_compared(*pair, slower_limit) for pair in pairs),
        only_baseline=tuple(left),
        only_candidate=tuple(alone),
    )


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
        if min(len(before), len(now)) < _LEAST_RUNS or min(*before, *now) <= 0:
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
        lost=bool(baseline.kept) and not candidate.kept and bool(candidate.failures),
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
