"""A report as one HTML page: no scripts, nothing from a network, whatever the rows hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from edgegen import __version__
from edgegen.report.bench.cells import CellSummary
from edgegen.report.bench.comparing import ComparedCell, ComparedFigure, RunComparison
from edgegen.report.bench.figures import FIGURES, Figure
from edgegen.report.bench.over_time import charts_of
from edgegen.report.bench.rows import (
    FIGURE_COLUMNS,
    advice,
    compared_rows,
    figure_rows,
    interval,
    limit_row,
    ratio_interval,
    title,
    verdict,
)
from edgegen.report.bench.runs import Report
from edgegen.report.bench.svg import ratio_bar, share_bar, strip, tick_text, ticks
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
_DRAWN = (
    "decode_tokens_per_s",
    "prefill_tokens_per_s",
    "ttft_ms",
    "init_ms",
    "peak_rss_bytes",
    "peak_gpu_bytes",
    "joules_per_token",
)
_TONES = {"faster": "good", "slower": "bad"}
_SYMBOLS = {"faster": "▲", "slower": "▼"}


@dataclass(frozen=True)
class Card:
    """One thing that a reader should see first."""

    label: str
    value: str
    unit: str
    detail: str
    tone: str = ""


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
    page = environment.get_template("report.html.jinja").render(
        style=Markup((_PAGE / "report.css").read_text(encoding="utf-8")),
        version=__version__,
        heading=", ".join(short(run.name, 60) for run in report.runs[:4]),
        began=min(record.started_at for run in report.runs for record in run.records)[:40],
        cards=_cards(report),
        comparison=report.comparison and _comparison(report.comparison),
        figures=[drawn for name in _DRAWN if (drawn := _drawn(name, cells)) is not None],
        limits=[limit for cell in cells if (limit := _limit(cell)) is not None],
        cells=[_cell(cell, report.folder_of(cell)) for cell in cells],
        figure_columns=FIGURE_COLUMNS,
        left_out=len(report.cells) - len(cells),
        failures=_failures(report.cells),
        devices=_devices(report.cells),
        provenance=_provenance(report.cells),
        missing=_missing(report.cells),
        notes=report.notes,
    )
    return page.rstrip("\n") + "\n"


def _cards(report: Report) -> list[Card]:
    """Return the headline: the best rates, memory, trouble, and how it compares."""
    cards = []
    if report.comparison is not None:
        cards.append(_verdict_card(report.comparison))
    for name, pick in (
        ("decode_tokens_per_s", max),
        ("prefill_tokens_per_s", max),
        ("ttft_ms", min),
        ("peak_rss_bytes", max),
    ):
        having = [cell for cell in report.cells if name in cell.summaries]
        if not having:
            continue
        best = pick(having, key=lambda cell: cell.summaries[name].median)
        figure, summary = FIGURES[name], best.summaries[name]
        most = ("highest " if name == "peak_rss_bytes" else "best ") if len(having) > 1 else ""
        label = most + figure.label
        between = interval(figure, summary.low, summary.high)
        detail = f"{between} · {title(best)}" if between else title(best)
        value = figure.shown(summary.median)
        cards.append(Card(label[0].upper() + label[1:], value, figure.unit, detail))
    total = sum(len(run.records) for run in report.runs)
    failed = sum(len(cell.failures) for cell in report.cells)
    kinds = sorted({run.failure.kind.replace("_", " ") for c in report.cells for run in c.failures})
    cards.append(
        Card(
            "Failed runs",
            str(failed),
            f"of {total}",
            ", ".join(kinds) or "every run has a result",
            "bad" if failed else "good",
        )
    )
    throttled = sum(cell.drift is not None and cell.drift.throttled for cell in report.cells)
    if throttled:
        detail = "the rates fell while it ran, or the device said so"
        cards.append(
            Card("Throttled", str(throttled), f"of {len(report.cells)} cells", detail, "bad")
        )
    return cards


def _verdict_card(comparison: RunComparison) -> Card:
    decoded = [
        each.comparison.verdict
        for cell in comparison.cells
        for each in cell.figures
        if each.name in ("decode_tokens_per_s", "prefill_tokens_per_s")
    ]
    counts = {word: decoded.count(word) for word in ("faster", "slower", "no difference shown")}
    lost = sum(cell.lost for cell in comparison.cells)
    told = [f"{count} {word}" for word, count in counts.items() if count]
    told += [f"{lost} without results"] if lost else []
    worse = bool(counts["slower"] or lost)
    better = bool(counts["faster"])
    value = "mixed" if worse and better else "slower" if worse else "faster" if better else "same"
    if value == "same":
        value = "no difference shown" if decoded else "not comparable"
    tone = "bad" if worse else "good" if better else ""
    detail = f"rates: {', '.join(told) or 'nothing to compare'}"
    return Card(f"Beside {short(comparison.baseline, 40)}", value, "", detail, tone)


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
    label = f"{title(cell)}: {median} {figure.unit}, {between or 'no interval'}, {summary.n} runs"
    return {
        "name": f"{short(record.workload, 40)} · {settings(record)}",
        "place": f"{device_name(record.device)} · {short(record.bundle.name, 60)}",
        "median": median,
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


def _comparison(comparison: RunComparison) -> dict[str, Any]:
    found = [each.comparison for cell in comparison.cells for each in cell.figures]
    reach = [
        abs(end - 1)
        for each in found
        for end in (each.ratio, each.ratio_low, each.ratio_high)
        if end is not None
    ]
    # A wide interval of one cell must not hide all others.
    half = min(max([0.1, *reach]) * 1.1, 1.0)
    ends = (1 - half, 1 + half)
    return {
        "baseline": short(comparison.baseline, 80),
        "ends": [f"{end:.2f}" for end in (ends[0], 1, ends[1])],
        "cells": [_compared(cell, ends) for cell in comparison.cells[:_MOST_CELLS]],
        "only_baseline": [title(cell) for cell in comparison.only_baseline[:_MOST_CELLS]],
        "only_candidate": [title(cell) for cell in comparison.only_candidate[:_MOST_CELLS]],
        "tests": sorted({each.test for each in found}),
    }


def _compared(cell: ComparedCell, ends: tuple[float, float]) -> dict[str, Any]:
    rows = list(compared_rows(cell))
    return {
        "title": title(cell.candidate),
        "differs": "; ".join(cell.differs) or "nothing that the rows tell",
        "lost": cell.lost,
        "advice": advice(cell),
        "figures": [
            _compared_figure(each, row, ends) for each, row in zip(cell.figures, rows, strict=True)
        ],
    }


def _compared_figure(
    each: ComparedFigure, row: tuple[str, ...], ends: tuple[float, float]
) -> dict[str, Any]:
    found = each.comparison
    tone = _TONES.get(found.verdict, "")
    between = ratio_interval(each)
    label = f"{row[0]}: {found.ratio:.3f} of the baseline's, {between or 'no interval'}"
    return {
        "label": row[0],
        "before": row[1],
        "now": row[2],
        "ratio": f"{found.ratio:.3f}",
        "interval": between,
        "p": row[5],
        "verdict": f"{_SYMBOLS.get(found.verdict, '•')} {verdict(each)}",
        "tone": tone,
        "drawing": ratio_bar(
            found.ratio_low, found.ratio_high, found.ratio, ends=ends, tone=tone, label=label
        ),
    }


def _limit(cell: CellSummary) -> dict[str, Any] | None:
    row, roofline = limit_row(cell), cell.roofline
    if row is None or roofline is None:
        return None
    share = roofline.share
    return {
        "row": row,
        "method": short(roofline.memory_method or "", 160),
        "drawing": None
        if share is None
        else share_bar(share, label=f"{row[0]}: {share:.0%} of what memory copies"),
    }


def _cell(cell: CellSummary, folder: Path) -> dict[str, Any]:
    which, charts = charts_of(cell, folder)
    delegations = [
        f"{short(d.delegate, 60)}: {d.nodes_delegated} of {d.nodes_total} nodes of "
        f"{short(d.signature, 40)} in {d.partitions} partition{'s' * (d.partitions != 1)}"
        for d in cell.delegations[:20]
    ]
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
    ][:_MOST_FAILURES]


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
        for file, sha256 in list(engine.files_sha256.items())[:40]:
            rows["engine's file", short(file), short(sha256, 64)] = None
        rows["recorded by", f"edgegen {short(cell.example.edgegen_version, 40)}", ""] = None
        rows["benchmark", short(cell.example.run_id), ""] = None
    return list(rows)


def _missing(cells: Sequence[CellSummary]) -> list[tuple[str, str, str]]:
    rows = {
        (short(source, 60), short(why, 200), device_name(cell.example.device)): None
        for cell in cells
        for source, why in cell.missing.items()
    }
    return list(rows)[:200]
