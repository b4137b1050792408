"""A report as one HTML page: no scripts, nothing from a network, whatever the rows hold."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from edgegen import __version__
from edgegen.report.bench.cells import CellSummary
from edgegen.report.bench.figures import FIGURES, Figure
from edgegen.report.bench.html_cards import cards
from edgegen.report.bench.html_compared import compared
from edgegen.report.bench.over_time import charts_of
from edgegen.report.bench.rows import (
    FIGURE_COLUMNS,
    MEMORY_HEADING,
    copy_methods,
    figure_rows,
    interval,
    memory_row,
)
from edgegen.report.bench.runs import Report
from edgegen.report.bench.svg import MOST_DOTS, share_bar, strip, tick_text, ticks
from edgegen.report.bench.titles import title
from edgegen.report.bench.wording import (
    device_facts,
    device_identity,
    device_name,
    engine_name,
    excerpt,
    settings,
    short,
    size,
)
from edgegen.report.statistics import Summary

_PAGE = Path(__file__).parent / "page"
_MOST_CELLS = 60
_MOST_FAILURES = 100
_MOST_MISSING = 200
_MOST_NAMES = 4
_MOST_FILES = 40
_MOST_DELEGATIONS = 20
_DRAWN = (
    "decode_tokens_per_s",
    "prefill_tokens_per_s",
    "ttft_ms",
    "init_ms",
    "peak_rss_bytes",
    "peak_gpu_bytes",
    "joules_per_token",
)


def render_html(report: Report) -> str:
    """Return the page."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_PAGE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    cells = report.cells[:_MOST_CELLS]
    failures, missing = _failures(report.cells), _missing(report.cells)
    names = [short(run.name, 60) for run in report.runs]
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    page = environment.get_template("report.html.jinja").render(
        style=Markup((_PAGE / "report.css").read_text(encoding="utf-8")),
        version=__version__,
        heading=", ".join(names[:_MOST_NAMES]) + more,
        began=min(record.started_at for run in report.runs for record in run.records)[:40],
        cards=list(cards(report)),
        comparisons=[
            compared(each, several=len(report.comparisons) > 1) for each in report.comparisons
        ],
        figures=[drawn for name in _DRAWN if (drawn := _drawn(name, cells)) is not None],
        memory=[drawn for cell in cells if (drawn := _memory(cell)) is not None],
        memory_heading=MEMORY_HEADING,
        copy_methods=list(copy_methods(cells)),
        cells=[_cell(cell, report.folder_of(cell)) for cell in cells],
        figure_columns=FIGURE_COLUMNS,
        left_out=len(report.cells) - len(cells),
        failures=failures[:_MOST_FAILURES],
        failures_left_out=max(0, len(failures) - _MOST_FAILURES),
        devices=_devices(report.cells),
        provenance=_provenance(report.cells),
        missing=missing[:_MOST_MISSING],
        missing_left_out=max(0, len(missing) - _MOST_MISSING),
        notes=report.notes,
    )
    return page.rstrip("\n") + "\n"


def _drawn(name: str, cells: Sequence[CellSummary]) -> dict[str, Any] | None:
    """Return one figure of all cells on one scale."""
    figure = FIGURES[name]
    having = [cell for cell in cells if name in cell.summaries]
    if not having:
        return None
    rows: list[tuple[CellSummary, Figure, Summary, tuple[float, ...]]] = [
        (cell, figure, cell.summaries[name], cell.values[name]) for cell in having
    ]
    scale = ticks(0.0, max(s.maximum for *_, s, _ in rows) / figure.divisor, 4)
    return {
        "title": f"{figure.label[0].upper()}{figure.label[1:]}, {figure.unit}",
        "better": "more is better" if figure.higher_is_better else "less is better",
        "ticks": [(tick / scale[-1] * 100, tick_text(tick)) for tick in scale],
        "rows": [_strip_row(*row, most=scale[-1] * figure.divisor) for row in rows],
    }


def _strip_row(
    cell: CellSummary, figure: Figure, summary: Summary, values: tuple[float, ...], *, most: float
) -> dict[str, Any]:
    between = interval(figure, summary.low, summary.high)
    median = figure.shown(summary.median)
    record = cell.example
    told = [
        f"run {r.index}: {figure.shown(v)} {figure.unit}"
        for r, v in zip((r for r in cell.kept if figure.of(r) is not None), values, strict=True)
    ]
    place = device_name(record.device), short(record.bundle.name, 60), cell.apart
    label = f"{title(cell)}: {median} {figure.unit}, {between or 'no interval'}, {summary.n} runs"
    return {
        "name": f"{short(record.workload, 40)} · {settings(record)}",
        "place": " · ".join(filter(None, place)),
        "median": median,
        "undrawn": max(0, len(values) - MOST_DOTS),
        "interval": between,
        "gpu": record.delegate == "gpu",
        "drawing": strip(
            values,
            told,
            low=summary.low,
            high=summary.high,
            median=summary.median,
            most=most or 1.0,
            label=label,
        ),
    }


def _memory(cell: CellSummary) -> dict[str, Any] | None:
    row, roofline = memory_row(cell), cell.roofline
    if row is None or roofline is None:
        return None
    share = roofline.share
    return {
        "row": row,
        "drawing": None
        if share is None
        else share_bar(share, label=f"{row[0]}: {share:.0%} of the copy rate"),
    }


def _cell(cell: CellSummary, folder: Path) -> dict[str, Any]:
    which, charts = charts_of(cell, folder)
    delegations = [
        f"{short(d.delegate, 60)}: {d.nodes_delegated} of {d.nodes_total} nodes of "
        f"{short(d.signature, 40)} in {d.partitions} partition{'s' * (d.partitions != 1)}"
        for d in cell.delegations[:_MOST_DELEGATIONS]
    ]
    if more := len(cell.delegations[_MOST_DELEGATIONS:]):
        delegations.append(f"{more} more are left out")
    return {
        "title": title(cell),
        "engine": engine_name(cell.example),
        "kept": len(cell.kept),
        "rows": list(figure_rows(cell)),
        "notes": [short(note, 300) for note in cell.notes],
        "drift": "" if cell.drift is None else short(cell.drift.why, 300),
        "delegations": delegations,
        "flags": short(" ".join(cell.example.flags), 600),
        "energy": ", ".join(short(source, 20) for source in cell.energy_sources),
        "which": which,
        "charts": charts,
    }


def _failures(cells: Sequence[CellSummary]) -> list[dict[str, Any]]:
    return [
        {
            "kind": run.failure.kind.replace("_", " "),
            "title": title(cell),
            "run": f"run {run.index}, {run.phase}",
            "message": short(run.failure.message, 600),
            "hint": short(run.failure.hint, 600),
            "excerpt": excerpt(run.failure.excerpt),
            "log": short(run.log or "", 200),
        }
        for cell in cells
        for run in cell.failures
    ]


def _devices(cells: Sequence[CellSummary]) -> list[list[tuple[str, str]]]:
    told = {device_identity(c.example.device): c.example.device for c in cells}
    return [device_facts(device) for device in told.values()]


def _provenance(cells: Sequence[CellSummary]) -> list[tuple[str, str, str]]:
    """Return what was measured and what measured: what it is, name, hash."""
    rows: dict[tuple[str, str, str], None] = {}
    for cell in cells:
        bundle, engine = cell.example.bundle, cell.example.engine
        recipe = f", {short(bundle.recipe, 60)}" if bundle.recipe else ""
        name = f"{short(bundle.name)} ({size(bundle.size_bytes)}{recipe})"
        rows["bundle", name, short(bundle.sha256, 64)] = None
        about = f"{short(engine.name, 60)} {short(engine.version or 'version unknown', 40)}"
        rows["engine", f"{about}, run by {short(engine.runner, 40)}", ""] = None
        files = list(engine.files_sha256.items())
        for file, sha256 in files[:_MOST_FILES]:
            rows["engine's file", short(file), short(sha256, 64)] = None
        if more := len(files[_MOST_FILES:]):
            rows["engine's files", f"{more} more of {about} are left out", ""] = None
        rows["recorded by", f"edgegen {short(cell.example.edgegen_version, 40)}", ""] = None
        rows["benchmark", short(cell.example.run_id), ""] = None
    return list(rows)


def _missing(cells: Sequence[CellSummary]) -> list[tuple[str, str, str]]:
    rows = {
        (short(source, 60), short(why, 200), device_name(cell.example.device)): None
        for cell in cells
        for source, why in cell.missing.items()
    }
    return list(rows)
