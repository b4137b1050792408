"""Cells and comparisons as rows of words, for whatever draws tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from edgegen.report.bench.cells import CellSummary
from edgegen.report.bench.comparing import ComparedCell, ComparedFigure
from edgegen.report.bench.figures import COLD_INIT, FIGURES, Figure
from edgegen.report.bench.titles import title
from edgegen.report.bench.wording import device_name, rate_of_bytes, short
from edgegen.report.statistics import MAX_REPEATS, Summary

FIGURE_COLUMNS = ("", ">median", ">95 % interval", ">stddev", ">min", ">max", ">n", "unit")
COMPARED_COLUMNS = ("", ">before", ">now", ">ratio", ">99 % interval", ">p", "verdict")
MEMORY_COLUMNS = (
    "cell",
    ">read for each token",
    ">rate",
    ">copy rate",
    "which counts",
    ">share",
    ">at the copy rate, tokens/s",
)
MEMORY_HEADING = "what decode reads, beside what copying memory reached"


def figure_rows(cell: CellSummary) -> Iterator[tuple[str, ...]]:
    """Yield each figure of a cell with its spread."""
    if cell.cold_init_ms is not None:
        yield _figure_row(COLD_INIT, cell.cold_init_ms)
    for name, summary in cell.summaries.items():
        yield _figure_row(FIGURES[name], summary)


def _figure_row(figure: Figure, summary: Summary) -> tuple[str, ...]:
    show = figure.shown
    return (
        figure.label,
        show(summary.median),
        interval(figure, summary.low, summary.high),
        "" if summary.stddev is None else show(summary.stddev),
        show(summary.minimum),
        show(summary.maximum),
        str(summary.n),
        figure.unit,
    )


def interval(figure: Figure, low: float | None, high: float | None) -> str:
    """Return an interval in the unit that people read."""
    if low is None or high is None:
        return ""
    return f"{figure.shown(low)} to {figure.shown(high)}"


def with_interval(name: str, summary: Summary | None) -> str:
    """Return a median with its interval in one cell of a table."""
    if summary is None:
        return ""
    figure = FIGURES[name]
    between = interval(figure, summary.low, summary.high)
    return figure.shown(summary.median) + (f" ({between})" if between else "")


def compared_rows(cell: ComparedCell) -> Iterator[tuple[str, ...]]:
    """Yield each compared figure of a pair of cells."""
    for each in cell.figures:
        figure, found = FIGURES[each.name], each.comparison
        yield (
            f"{figure.label}, {figure.unit}",
            figure.shown(cell.baseline.summaries[each.name].median),
            figure.shown(cell.candidate.summaries[each.name].median),
            f"{found.ratio:.3f}",
            ratio_interval(each),
            p_value(found.p_value),
            verdict(each),
        )


def verdict(each: ComparedFigure) -> str:
    """Return what was found, in the words of the figure: less memory is not faster."""
    better, worse = FIGURES[each.name].words
    return {"faster": better, "slower": worse}.get(each.comparison.verdict, each.comparison.verdict)


def ratio_interval(each: ComparedFigure) -> str:
    """Return the interval of the ratio."""
    low, high = each.comparison.ratio_low, each.comparison.ratio_high
    return "" if low is None or high is None else f"{low:.3f} to {high:.3f}"


def p_value(value: float) -> str:
    """Return a probability."""
    return "< 0.0001" if value < 0.0001 else f"{value:.4f}"


def memory_row(cell: CellSummary) -> tuple[str, ...] | None:
    """Return what a cell's decode reads beside the copy rate, `None` where it is not known."""
    roofline = cell.roofline
    if roofline is None:
        return None
    copied, share = roofline.memory_bytes_per_s, roofline.share
    at_copy_rate = roofline.tokens_per_s_at_copy_rate
    return (
        title(cell),
        f"{roofline.bytes_per_token / 1e6:.1f} MB",
        rate_of_bytes(roofline.bytes_per_s),
        "not measured" if copied is None else rate_of_bytes(copied),
        "" if copied is None else roofline.counted or "not told",
        "" if share is None else f"{share:.0%}",
        "" if at_copy_rate is None else f"{at_copy_rate:.1f}",
    )


def copy_methods(cells: Iterable[CellSummary]) -> Iterator[str]:
    """Yield how each device's copy rate was measured."""
    told: dict[str, None] = {}
    for cell in cells:
        if cell.roofline is not None and cell.roofline.memory_method:
            method = short(cell.roofline.memory_method, 160)
            told[f"{device_name(cell.example.device)}: {method}"] = None
    yield from told


def tests_used(figures: Iterable[ComparedFigure]) -> list[str]:
    """Return the tests that figures were compared with."""
    return sorted({each.comparison.test for each in figures})


def percent(share: float) -> str:
    """Return a share with as many digits as it was asked for with."""
    return f"{share * 100:.4g} %"


def advice(cell: ComparedCell) -> str | None:
    """Return how many repeats would decide what is undecided."""
    told = [each.comparison.repeats_advised for each in cell.undecided]
    advised = max((repeats for repeats in told if repeats is not None), default=None)
    if advised is None:
        return None
    if advised >= MAX_REPEATS:
        return f"to decide, --repeats {MAX_REPEATS} or more of each; quiet the machine"
    return f"to decide, about --repeats {advised} of each"
