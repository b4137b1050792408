"""A report as tables for a terminal, or as plain columns for everything else."""

from __future__ import annotations

from collections.abc import Iterator

from edgegen.report.bench.cells import CellSummary
from edgegen.report.bench.comparing import LEAST_RUNS, RunComparison
from edgegen.report.bench.judging import losses
from edgegen.report.bench.rows import (
    COMPARED_COLUMNS,
    FIGURE_COLUMNS,
    MEMORY_COLUMNS,
    MEMORY_HEADING,
    advice,
    compared_rows,
    copy_methods,
    figure_rows,
    memory_row,
    tests_used,
    with_interval,
)
from edgegen.report.bench.runs import Report
from edgegen.report.bench.titles import heading, title, title_words
from edgegen.report.bench.wording import engine_name, excerpt, short
from edgegen.report.tables import PLAIN_WIDTH, Part, table, to_text

_EXCERPT_LINES = 6
_DETAILED = 3  # cells; of more, one line each is what can be read


def render_terminal(report: Report, *, terminal: bool, width: int = PLAIN_WIDTH) -> str:
    """Return a report as text: few cells in full, many in one table.

    Args:
        report: What to show.
        terminal: Whether the reader is a terminal.
        width: Columns to use at most.
    """
    parts: list[Part] = []
    if len(report.cells) <= _DETAILED:
        for cell in report.cells:
            parts += _detailed(cell, terminal)
    else:
        parts += [_overview(report.cells, terminal), ""]
        parts += _notes(report.cells)
    memory = [row for cell in report.cells if (row := memory_row(cell)) is not None]
    if memory:
        parts += [f"{MEMORY_HEADING}:", table(MEMORY_COLUMNS, memory, terminal=terminal)]
        parts += [f"copy rate of {told}" for told in copy_methods(report.cells)]
        parts += [""]
    parts += _failures(report.cells)
    for comparison in report.comparisons:
        told = heading(comparison, several=len(report.comparisons) > 1)
        parts += [f"beside {told}:", "", *_comparison(comparison, terminal)]
    parts += [f"note: {note}" for note in report.notes]
    while parts and parts[-1] == "":
        parts.pop()
    return to_text(parts, terminal=terminal, width=width)


def _detailed(cell: CellSummary, terminal: bool) -> Iterator[Part]:
    yield title(cell)
    yield f"{engine_name(cell.example)}; {len(cell.kept)} runs kept"
    yield ""
    rows = list(figure_rows(cell))
    if rows:
        yield table(FIGURE_COLUMNS, rows, terminal=terminal)
        yield ""
    yield from (f"note: {note}" for note in cell.notes)
    if cell.missing:
        yield "not to be read: " + "; ".join(
            f"{short(source, 40)} ({short(why, 80)})" for source, why in cell.missing.items()
        )
    if cell.notes or cell.missing:
        yield ""


def _overview(cells: tuple[CellSummary, ...], terminal: bool) -> Part:
    columns: tuple[str, ...] = (
        "bundle",
        "test",
        "run on",
        "which",
        ">decode, tokens/s",
        ">prefill, tokens/s",
        ">first token, ms",
        ">peak, MiB",
        ">n",
    )
    figures = ("decode_tokens_per_s", "prefill_tokens_per_s", "ttft_ms", "peak_rss_bytes")
    rows: list[tuple[str, ...]] = [
        (
            *title_words(cell),
            *(with_interval(name, cell.summaries.get(name)) for name in figures),
            str(len(cell.kept)),
        )
        for cell in cells
    ]
    if not any(cell.apart for cell in cells):
        place = columns.index("which")
        columns, *rows = ((*row[:place], *row[place + 1 :]) for row in (columns, *rows))
    return table(columns, rows, terminal=terminal)


def _notes(cells: tuple[CellSummary, ...]) -> Iterator[Part]:
    told = [f"note: {title(cell)}: {note}" for cell in cells for note in cell.notes]
    yield from told
    if told:
        yield ""


def _failures(cells: tuple[CellSummary, ...]) -> Iterator[Part]:
    for cell in cells:
        for failed in cell.failures:
            failure = failed.failure
            yield f"failed: {title(cell)}, run {failed.index} ({failed.phase}): {failure.kind}"
            yield f"  {short(failure.message, 400)}"
            if failure.hint:
                yield f"  hint: {short(failure.hint, 400)}"
            yield from (
                f"  | {short(line, 200)}"
                for line in excerpt(failure.excerpt).splitlines()[:_EXCERPT_LINES]
            )
            if failed.log:
                yield f"  log: {short(failed.log, 200)}"
            yield ""


def _comparison(comparison: RunComparison, terminal: bool) -> Iterator[Part]:
    for cell in comparison.cells:
        yield title(cell.candidate)
        if cell.differs:
            yield f"differs: {'; '.join(cell.differs)}"
        lost = list(losses(cell))
        yield from (f"lost: {told}" for told in lost)
        if cell.figures:
            yield "; ".join(tests_used(cell.figures))
            yield table(COMPARED_COLUMNS, list(compared_rows(cell)), terminal=terminal)
            if (advised := advice(cell)) is not None:
                yield advised
        elif not lost:
            yield f"too few results to compare: {LEAST_RUNS} of each at least"
        yield ""
    for side, cells in (
        ("the baseline", comparison.only_baseline),
        ("this benchmark", comparison.only_candidate),
    ):
        yield from (f"only in {side}: {title(cell)}" for cell in cells)
    if comparison.only_baseline or comparison.only_candidate:
        yield ""
