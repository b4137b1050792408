"""A report as tables for a terminal, or as plain columns for everything else."""

from __future__ import annotations

from collections.abc import Iterator

from edgegen.report.bench.cells import CellSummary
from edgegen.report.bench.comparing import RunComparison
from edgegen.report.bench.rows import (
    COMPARED_COLUMNS,
    FIGURE_COLUMNS,
    LIMIT_COLUMNS,
    advice,
    compared_rows,
    figure_rows,
    limit_row,
    title,
    with_interval,
)
from edgegen.report.bench.runs import Report
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
    limits = [row for cell in report.cells if (row := limit_row(cell)) is not None]
    if limits:
        parts += [
            "what decode reads, beside what memory copies (bytes read plus written):",
            table(LIMIT_COLUMNS, limits, terminal=terminal),
            "",
        ]
    parts += _failures(report.cells)
    if report.comparison is not None:
        parts += _comparison(report.comparison, terminal)
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
    columns = (
        "bundle",
        "test",
        "run on",
        ">decode, tokens/s",
        ">prefill, tokens/s",
        ">first token, ms",
        ">peak, MiB",
        ">n",
    )
    rows = []
    for cell in cells:
        name, test, where = title(cell).split(", ", 2)
        rows.append(
            (
                name,
                test,
                where,
                with_interval("decode_tokens_per_s", cell.summaries.get("decode_tokens_per_s")),
                with_interval("prefill_tokens_per_s", cell.summaries.get("prefill_tokens_per_s")),
                with_interval("ttft_ms", cell.summaries.get("ttft_ms")),
                with_interval("peak_rss_bytes", cell.summaries.get("peak_rss_bytes")),
                str(len(cell.kept)),
            )
        )
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
    yield f"beside {short(comparison.baseline, 80)}:"
    yield ""
    for cell in comparison.cells:
        yield title(cell.candidate)
        if cell.differs:
            yield f"differs: {'; '.join(cell.differs)}"
        if cell.lost:
            yield "failed each time; the baseline did not"
        elif not cell.figures:
            yield "too few results to compare: 2 of each at least"
        else:
            yield f"{cell.figures[0].comparison.test}"
            yield table(COMPARED_COLUMNS, list(compared_rows(cell)), terminal=terminal)
            if (advised := advice(cell)) is not None:
                yield advised
        yield ""
    for side, cells in (
        ("the baseline", comparison.only_baseline),
        ("this benchmark", comparison.only_candidate),
    ):
        yield from (f"only in {side}: {title(cell)}" for cell in cells)
