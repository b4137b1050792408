"""Whether a benchmark got worse than its baseline: the one judgement of all verbs and pages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from edgegen.report.bench.comparing import LEAST_RUNS, ComparedCell, RunComparison
from edgegen.report.bench.figures import FIGURES
from edgegen.report.bench.records import RecordsError
from edgegen.report.bench.rows import advice, percent
from edgegen.report.bench.titles import title

# `slower` and `lost` fail a build; `undecided` and `note` are told.
Kind = Literal["slower", "lost", "undecided", "note"]


@dataclass(frozen=True)
class Finding:
    """One thing to say of a cell.

    Attributes:
        kind: What sort of thing.
        cell: The cell's title.
        message: What was found.
    """

    kind: Kind
    cell: str
    message: str

    @property
    def line(self) -> str:
        """The finding on one line, for a terminal or a log."""
        return f"{self.kind}: {self.cell}: {self.message}"


@dataclass(frozen=True)
class Judgement:
    """What a comparison shows of a limit.

    Attributes:
        findings: What is worse, lost, undecided or to be known.
        comparable: Whether any cell could be compared, or was lost beside one of the baseline's.
    """

    findings: tuple[Finding, ...]
    comparable: bool

    @property
    def regressed(self) -> bool:
        """Whether a speed is shown to be worse by more than the limit, or results were lost."""
        return self.comparable and bool(self.count("slower") or self.count("lost"))

    def count(self, kind: Kind) -> int:
        """Return how many findings are of a kind."""
        return sum(finding.kind == kind for finding in self.findings)


def judgement_of(comparison: RunComparison) -> Judgement:
    """Judge a comparison by the limit that it was made with."""
    found = [list(_of_cell(cell, comparison.slower_limit)) for cell in comparison.cells]
    return Judgement(
        findings=(*(finding for each in found for finding in each), *_absent(comparison)),
        comparable=any(
            cell.figures or any(finding.kind == "lost" for finding in each)
            for cell, each in zip(comparison.cells, found, strict=True)
        ),
    )


def _of_cell(cell: ComparedCell, limit: float) -> Iterator[Finding]:
    name = title(cell.candidate)
    worse = f"by more than {percent(limit)}"
    for each in cell.slower:
        ratio = f"is {each.comparison.ratio:.3f} of the baseline's"
        label = FIGURES[each.name].label
        yield Finding("slower", name, f"{label} {ratio}, worse {worse}")
    yield from (Finding("lost", name, told) for told in losses(cell))
    if cell.undecided:
        labels = ", ".join(FIGURES[each.name].label for each in cell.undecided)
        yield Finding("undecided", name, f"{labels} may be worse {worse}")
    if not cell.slower and (advised := advice(cell)) is not None:
        yield Finding("note", name, advised)


def losses(cell: ComparedCell) -> Iterator[str]:
    """Yield what the baseline's cell had and the candidate's has not."""
    before, now = cell.baseline, cell.candidate
    if cell.lost:
        yield "no result any more"
    else:
        for name in cell.speeds_lost:
            counts = [len(side.values.get(name, ())) for side in (now, before)]
            told = f"{counts[0]} results, the baseline has {counts[1]}"
            if counts[0] >= LEAST_RUNS:
                told = "a result is 0, which cannot be compared"
            yield f"{FIGURES[name].label}: {told}"
    if cell.failures_more:
        kinds = sorted({run.failure.kind.replace("_", " ") for run in now.failures})
        yield (
            f"{len(now.failures)} of {now.rows} runs failed ({', '.join(kinds)}), "
            f"{len(before.failures)} of {before.rows} of the baseline's"
        )


def _absent(comparison: RunComparison) -> Iterator[Finding]:
    """Yield the baseline's results that nothing stands beside."""
    for cell in comparison.only_baseline:
        if not cell.kept:
            continue
        if comparison.subset:
            yield Finding("note", title(cell), "only in the baseline")
        else:
            yield Finding("lost", title(cell), "only in the baseline, or not to be put beside one")


def judge(comparisons: Sequence[RunComparison]) -> tuple[bool, tuple[str, ...]]:
    """Return whether one of several comparisons regressed, and a line for each finding.

    Raises:
        RecordsError: in one of them nothing could be compared, which must not pass as nothing
            being slower, and no other regressed.
    """
    found = [judgement_of(comparison) for comparison in comparisons]
    lines = tuple(finding.line for each in found if each.comparable for finding in each.findings)
    regressed = any(each.regressed for each in found)
    if not regressed and not all(each.comparable for each in found):
        raise RecordsError(
            "no cell of the baseline could be compared with one of this benchmark",
            "device, runner, delegate, workload and settings must be the same, with "
            f"{LEAST_RUNS} results of each at least",
        )
    return regressed, lines
