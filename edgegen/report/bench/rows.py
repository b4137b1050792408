"""Cells and comparisons as rows of words, for whatever draws tables."""

from __future__ import annotations

from collections.abc import Iterator

from edgegen.report.bench.cells import CellSummary
from edgegen.report.bench.comparing import ComparedCell, ComparedFigure
from edgegen.report.bench.figures import COLD_INIT, FIGURES, Figure
from edgegen.report.bench.wording import device_name, rate_of_bytes, settings, short
from edgegen.report.statistics import Summary

FIGURE_COLUMNS = ("", ">median", ">95 % interval", ">stddev", ">min", ">max", ">n", "unit")
COMPARED_COLUMNS = ("", ">before", ">now", ">ratio", ">99 % interval", ">p", "verdict")
LIMIT_COLUMNS = (
    "cell",
    ">read for each token",
    ">rate",
    ">copy rate",
    ">share",
    ">limit, tokens/s",
)


def title(cell: CellSummary) -> str:
    """Return what a cell is, on one line."""
    record = cell.example
    where = f"{settings(record)} on {device_name(record.device)}"
    return f"{short(record.bundle.name, 60)}, {short(record.workload, 40)}, {where}"


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


def limit_row(cell: CellSummary) -> tuple[str, ...] | None:
    """Return how far a cell's decode is from what memory allows, `None` where not known."""
    roofline = cell.roofline
    if roofline is None:
        return None
    told = roofline.memory_bytes_per_s is not None
    return (
        title(cell),
        f"{roofline.bytes_per_token / 1e6:.1f} MB",
        rate_of_bytes(roofline.bytes_per_s),
        rate_of_bytes(roofline.memory_bytes_per_s or 0) if told else "not measured",
        f"{roofline.share:.0%}" if roofline.share is not None else "",
        f"{roofline.limit_tokens_per_s:.1f}" if roofline.limit_tokens_per_s is not None else "",
    )


def advice(cell: ComparedCell) -> str | None:
    """Return how many repeats would decide what is undecided."""
    advised = [
        each.comparison.repeats_advised
        for each in cell.figures
        if each.name in ("decode_tokens_per_s", "prefill_tokens_per_s")
        and each.comparison.repeats_advised is not None
    ]
    if not advised:
        return None
    return f"to decide, about --repeats {max(advised)} of each"


def judgement(cell: ComparedCell, limit: float) -> Iterator[str]:
    """Yield what of a cell is slower by more than a limit, or cannot be told."""
    name = title(cell.candidate)
    if cell.lost:
        yield f"slower: {name}: failed each time; the baseline did not"
    for each in cell.slower:
        yield (
            f"slower: {name}: {FIGURES[each.name].label} is "
            f"{each.comparison.ratio:.3f} of the baseline's, worse by more than {limit:.1%}"
        )
    for each in cell.undecided:
        yield f"undecided: {name}: {FIGURES[each.name].label} may be worse by more than {limit:.1%}"
