"""A report as Markdown, for a pull request or a page."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

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
)
from edgegen.report.bench.runs import Report
from edgegen.report.bench.titles import heading, title
from edgegen.report.bench.wording import device_facts, device_identity, engine_name, excerpt, short

# What would be markup in the running text, HTML included.
_MARKUP = str.maketrans({c: f"\\{c}" for c in "\\`*_{}[]<>#|~&$"})
_LINKS = re.compile(r"@|#|:(?=//)|www(?=\.)", re.IGNORECASE)


def render_markdown(report: Report) -> str:
    """Return a report as Markdown with tables, as GitHub draws them."""
    return "\n".join(_lines(report)).rstrip("\n") + "\n"


def _lines(report: Report) -> Iterator[str]:
    yield "# Benchmark"
    yield ""
    for comparison in report.comparisons:
        yield f"## Beside {plain(heading(comparison, several=len(report.comparisons) > 1))}"
        yield ""
        yield from _comparison(comparison)
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
    memory = [row for cell in report.cells if (row := memory_row(cell)) is not None]
    if memory:
        yield f"## {MEMORY_HEADING[0].upper()}{MEMORY_HEADING[1:]}"
        yield ""
        yield from _table(MEMORY_COLUMNS, memory)
        yield ""
        yield from (f"- copy rate of {plain(told)}" for told in copy_methods(report.cells))
        yield ""
    yield from _failures(report)
    yield from _devices(report)
    yield from (f"\n{plain(note)}" for note in report.notes)


def _comparison(comparison: RunComparison) -> Iterator[str]:
    for compared in comparison.cells:
        yield f"### {plain(title(compared.candidate))}"
        yield ""
        if compared.differs:
            yield f"Differs: {plain('; '.join(compared.differs))}."
            yield ""
        lost = list(losses(compared))
        if lost:
            yield from (f"- **lost**: {plain(told)}" for told in lost)
            yield ""
        if compared.figures:
            yield from _table(COMPARED_COLUMNS, compared_rows(compared))
            yield ""
            yield f"Test: {plain('; '.join(tests_used(compared.figures)))}."
            if (advised := advice(compared)) is not None:
                yield f"Undecided: {plain(advised)}."
        elif not lost:
            yield f"Too few results to compare: {LEAST_RUNS} of each at least."
        yield ""
    for side, cells in (
        ("the baseline", comparison.only_baseline),
        ("this benchmark", comparison.only_candidate),
    ):
        yield from (f"- only in {side}: {plain(title(cell))}" for cell in cells)
        if cells:
            yield ""


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
    """Return text that Markdown shows as it is.

    GitHub makes links and mentions of plain text after all escapes are gone; a comment, which
    nobody sees, takes their beginning apart.
    """
    return _LINKS.sub(lambda found: f"{found[0]}<!-- -->", text.translate(_MARKUP))
