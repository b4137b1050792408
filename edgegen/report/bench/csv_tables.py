"""A report as CSV: a row for each run, or one for each cell; names and units are the record's."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from edgegen.device.bench.record import Record
from edgegen.report.bench.cells import CellSummary
from edgegen.report.bench.figures import FIGURES
from edgegen.report.bench.runs import Report
from edgegen.report.bench.wording import device_name
from edgegen.report.tables import printable

# Spreadsheets compute what begins so, some of them also where the signs are full-width.
_FORMULAS = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_STATISTICS = ("n", "median", "mean", "stddev", "minimum", "maximum", "low", "high")


def render_csv(report: Report) -> str:
    """Return a row for each run, failures and warm-ups included; what was not told is empty."""
    rows = [{"run": run.name, **_sample(record)} for run in report.runs for record in run.records]
    return _csv(rows)


def render_cells_csv(report: Report) -> str:
    """Return a row for each cell, with `NAME.median` and its like for each figure."""
    return _csv([_cell(cell) for cell in report.cells])


def _shared(record: Record) -> dict[str, Any]:
    """Return what all rows of a cell have in common."""
    return {
        "cell": record.cell,
        "device": device_name(record.device),
        "serial": record.device.get("serial"),
        "runner": record.engine.runner,
        "engine": record.engine.name,
        "engine_version": record.engine.version,
        "gpu_adapter": record.engine.gpu_adapter,
        "bundle": record.bundle.name,
        "bundle_sha256": record.bundle.sha256,
        "recipe": record.bundle.recipe,
        "workload": record.workload,
        "delegate": record.delegate,
        "threads": record.threads,
        "activations": record.activations,
        "cpu_mask": record.cpu_mask,
        "prefill_tokens": record.prefill_tokens,
        "decode_tokens": record.decode_tokens,
        "depth": record.depth,
        "prefill_padded_tokens": record.prefill_padded_tokens,
    }


def _sample(record: Record) -> dict[str, Any]:
    metrics = record.metrics
    told = {
        name: None if metrics is None else getattr(metrics, name)
        for name in ("init_ms", "ttft_ms", "prefill_tokens_per_s", "decode_tokens_per_s")
    }
    return {
        "run_id": record.run_id,
        **_shared(record),
        "index": record.index,
        "phase": record.phase,
        "started_at": record.started_at,
        "wall_s": record.wall_s,
        **told,
        **asdict(record.memory),
        **asdict(record.conditions),
        "joules": record.energy and record.energy.joules,
        "joules_per_token": record.energy and record.energy.joules_per_token,
        "energy_source": record.energy and record.energy.source,
        "memory_bytes_per_s": record.memory_bytes_per_s,
        "failure": record.failure and record.failure.kind,
        "failure_message": record.failure and record.failure.message,
        "log": record.log,
        "series": record.series,
    }


def _cell(cell: CellSummary) -> dict[str, Any]:
    row: dict[str, Any] = {"run": cell.run, **_shared(cell.example)}
    row |= {"kept": len(cell.kept), "failures": len(cell.failures)}
    summaries = {"cold_init_ms": cell.cold_init_ms}
    summaries |= {name: cell.summaries.get(name) for name in FIGURES}
    for name, summary in summaries.items():
        row |= {f"{name}.{each}": summary and getattr(summary, each) for each in _STATISTICS}
    roofline = cell.roofline
    for name in ("bytes_per_token", "bytes_per_s", "memory_bytes_per_s", "share"):
        row[f"roofline.{name}"] = roofline and getattr(roofline, name)
    row["throttled"] = None if cell.drift is None else cell.drift.throttled
    row["notes"] = "; ".join(cell.notes)
    return row


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(rows[0])
    writer.writerows(map(_words, rows))
    return out.getvalue()


def _words(row: Mapping[str, Any]) -> Iterable[str]:
    """Yield values as words."""
    for value in row.values():
        if value is None:
            yield ""
        elif isinstance(value, bool):
            yield "true" if value else "false"
        elif isinstance(value, str):
            yield _text(value)
        else:
            yield str(value)


def _text(value: str) -> str:
    """Return a text on one line without control characters, that no spreadsheet computes."""
    told = printable(" ".join(value.split()))
    # Behind what cannot be seen a sign may still be the first that counts.
    return f"'{told}" if told.lstrip("\ufffd ").startswith(_FORMULAS) else told
