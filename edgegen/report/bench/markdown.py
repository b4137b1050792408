"""A report as Markdown, for a pull request or a page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from edgegen.report.bench.rows import (
    COMPARED_COLUMNS,
    FIGURE_COLUMNS,
    LIMIT_COLUMNS,
    advice,
    compared_rows,
    figure_rows,
    limit_row,
    title,
)
from edgegen.report.bench.runs import Report
from edgegen.report.bench.wording import device_facts, device_identity, engine_name, excerpt, short

# What would be markup in the running text, HTML included.
_MARKUP = str.maketrans({c: f"\\{c}" for c in "\\`*_{}[]<>#|~&"})


def render_markdown(report: Report) -> str:
    """Return a report as Markdown with tables, as GitHub draws them."""
    return "\n".join(_lines(report)).rstrip("\n") + "\n"


def _lines(report: Report) -> Iterator[str]:
    yield "# Benchmark"
    yield ""
    if report.comparison is not None:
        yield f"## Beside {plain(report.comparison.baseline)}"
        yield ""
        for compared in report.comparison.cells:
            yield f"### {plain(title(compared.candidate))}"
            yield ""
            if compared.differs:
                yield f"Differs: {plain('; '.join(compared.differs))}."
                yield ""
            if compared.lost:
                yield "Failed each time; the baseline did not."
            elif not compared.figures:
                yield "Too few results to compare: 2 of each at least."
            else:
                yield from _table(COMPARED_COLUMNS, compared_rows(compared))
                yield ""
                yield f"Test: {plain(compared.figures[0].comparison.test)}."
                if (advised := advice(compared)) is not None:
                    yield f"Undecided: {plain(advised)}."
            yield ""
        for side, cells in (
            ("the baseline", report.comparison.only_baseline),
            ("this benchmark", report.comparison.only_candidate),
        ):
            yield from (f"- only in {side}: {plain(title(cell))}" for cell in cells)
            if cells:
                yield ""
    yield "## Results"
    yield ""
    for cell in report.cells:
        yield f"### {plain(title(cell))}"
        yield ""
        yield f"{plain(engine_name(cell.example))}; {len(cell.kept)} runs kept."
        yield ""
        rows = list(figure_rows(cell))
        if rows:
            yield from _table(FIGURE_COLUMNS, rows)
            yield ""
        notes = [*cell.notes]
        notes += [f"not to be read: {source} ({why})" for source, why in cell.missing.items()]
        yield from (f"- {plain(short(note, 300))}" for note in notes)
        if notes:
            yield ""
    limits = [row for cell in report.cells if (row := limit_row(cell)) is not None]
    if limits:
        yield "## What decode reads, beside what memory copies"
        yield ""
        yield "The copy rate counts bytes read plus bytes written."
        yield ""
        yield from _table(LIMIT_COLUMNS, limits)
        yield ""
    yield from _failures(report)
    yield from _devices(report)


def _failures(report: Report) -> Iterator[str]:
    failed = [(cell, run) for cell in report.cells for run in cell.failures]
    if failed:
        yield "## Failures"
        yield ""
    for cell, run in failed:
        failure = run.failure
        hint = f" {plain(short(failure.hint, 400))}" if failure.hint else ""
        yield (
            f"- **{failure.kind}**, {plain(title(cell))}, run {run.index}: "
            f"{plain(short(failure.message, 400))}.{hint}"
        )
        if failure.excerpt:
            yield ""
            # Indented, since a fence could be closed by what is inside.
            yield from (f"      {line}" for line in excerpt(failure.excerpt).splitlines())
            yield ""
    if failed:
        yield ""


def _devices(report: Report) -> Iterator[str]:
    devices = {device_identity(c.example.device): c.example.device for c in report.cells}
    yield "## Devices"
    yield ""
    for device in devices.values():
        yield from _table(("device", "value"), device_facts(device))
        yield ""
    yield "## Provenance"
    yield ""
    bundles = {c.example.bundle.sha256: c.example.bundle for c in report.cells}
    rows = [
        (short(b.name), b.recipe or "", str(b.size_bytes), short(b.sha256, 64))
        for b in bundles.values()
    ]
    yield from _table(("bundle", "recipe", ">bytes", "sha256"), rows)
    files = {
        (name, sha256)
        for cell in report.cells
        for name, sha256 in cell.example.engine.files_sha256.items()
    }
    if files:
        yield ""
        yield from _table(
            ("engine's file", "sha256"), [(short(n), short(s, 64)) for n, s in sorted(files)]
        )


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield a table; columns whose name starts with `>` are aligned to the right."""
    yield "| " + " | ".join(plain(column.lstrip(">")) or " " for column in columns) + " |"
    yield "|" + "|".join("---:" if c.startswith(">") else "---" for c in columns) + "|"
    for row in rows:
        yield "| " + " | ".join(plain(short(cell, 200)) for cell in row) + " |"


def plain(text: str) -> str:
    """Return text that Markdown shows as it is."""
    return text.translate(_MARKUP)
