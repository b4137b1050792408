"""A report as `litertlm_manifest.json` 0.1.2: the variants of a model with their measured rows.

The form is hf-to-litertlm's: one entry for each `.litertlm` file, with measured rows that carry
their conditions. What a benchmark does not know (who may use which file, the licence, known
issues) is left to whoever publishes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

from edgegen import __version__
from edgegen.report.bench.cells import CellSummary
from edgegen.report.bench.records import RecordsError, started_at
from edgegen.report.bench.runs import Report
from edgegen.report.bench.titles import title
from edgegen.report.bench.wording import device_name, emulated, short

_VERSION = "0.1.2"
_SUFFIX = ".litertlm"
_MB = 1e6
_REPO = re.compile(r"[A-Za-z0-9._-]+/[A-Za-z0-9._-]+")


def render_litertlm_manifest(
    report: Report, *, repo: str, generated: datetime | None = None
) -> str:
    """Return a manifest of the `.litertlm` files that were measured.

    Args:
        report: What was measured.
        repo: Where the files are published, `owner/name`.
        generated: When the manifest is made; now if `None`.

    Raises:
        RecordsError: `repo` is no such name, or no `.litertlm` file has results.
    """
    if not _REPO.fullmatch(repo):
        raise RecordsError(f"'{short(repo)}' is no name of a repository", "write it as owner/name")
    files: dict[tuple[str, str], list[CellSummary]] = {}
    known = [cell for cell in report.cells if _fits(cell)]
    for cell in known:
        if not emulated(cell.example):
            bundle = cell.example.bundle
            files.setdefault((bundle.name, bundle.sha256), []).append(cell)
    if known and not files:
        raise RecordsError(
            f"all results of {_SUFFIX} files are of GPUs that are emulated in software",
            "measure on a device, or with --delegate cpu",
        )
    if not files:
        raise RecordsError(
            f"no {_SUFFIX} file has results, and the manifest is about such files",
            "convert the bundle, then measure that: edgegen bundle convert MODEL.task",
        )
    made = generated or datetime.now(timezone.utc)
    manifest = {
        "manifest_schema": _VERSION,
        "repo": repo,
        "generated": made.date().isoformat(),
        "generator": f"edgegen {__version__}",
        "model": {"display_name": repo.partition("/")[2]},
        "variants": [_variant(cells) for cells in files.values()],
    }
    return json.dumps(manifest, indent=2) + "\n"


def left_out_of_manifest(report: Report) -> tuple[str, ...]:
    """Return what a manifest leaves out though it has results, a line each."""
    return tuple(
        f"{title(cell)} is left out of the manifest: this GPU is emulated in software"
        for cell in report.cells
        if _fits(cell) and emulated(cell.example)
    )


def _fits(cell: CellSummary) -> bool:
    return cell.example.bundle.name.endswith(_SUFFIX) and bool(cell.kept)


def _variant(cells: Sequence[CellSummary]) -> dict[str, Any]:
    bundle = cells[0].example.bundle
    return {
        "file": bundle.name,
        "sha256": bundle.sha256,
        "size_bytes": bundle.size_bytes,
        "quantization": bundle.recipe or "not known to the benchmark",
        "backends": list(dict.fromkeys(cell.example.delegate for cell in cells)),
        "measured": [_measured(cell) for cell in cells],
    }


def _measured(cell: CellSummary) -> dict[str, Any]:
    record = cell.example
    engine = record.engine
    row: dict[str, Any] = {
        "device": _device(cell),
        "os": record.device.get("system"),
        "backend": record.delegate,
        "runtime": short(f"{engine.name} {engine.version or ''} ({engine.runner})"),
        "prompt_tokens": record.prefill_tokens,
        "decode_tokens": record.decode_tokens,
        "prefill_tps": _spread(cell, "prefill_tokens_per_s", 1),
        "decode_tps": _spread(cell, "decode_tokens_per_s", 1),
        "ttft_s": _spread(cell, "ttft_ms", 1000),
        "max_num_tokens": record.bundle.kv_cache_len,
        "runs": len(cell.kept),
        "date": started_at(record).date().isoformat(),
        "source": f"edgegen bench, run {short(record.run_id)}; warm runs, each a fresh process",
        "evidence": f"records.jsonl, cell {short(record.cell)}",
    }
    if cell.cold_init_ms is not None:
        # Speeds do not depend on the caches of prepared weights, loading does.
        row |= {"load_s": round(cell.cold_init_ms.median / 1000, 3), "cache": "no"}
    peak = cell.summaries.get("peak_rss_bytes")
    if peak is not None:
        row["peak_memory_mb"] = round(peak.maximum / _MB, 1)
    if record.depth:
        row["source"] += f"; behind a context of {record.depth} tokens"
    # Throttled, capped, padded: rates without that are taken for what they are not.
    row["source"] += "".join(f"; {short(note, 300)}" for note in cell.notes)
    return {name: value for name, value in row.items() if value is not None}


def _device(cell: CellSummary) -> str:
    soc = cell.example.device.get("soc")
    name = device_name(cell.example.device)
    return f"{name} ({short(soc, 40)})" if isinstance(soc, str) and soc else name


def _spread(cell: CellSummary, name: str, divisor: float) -> float | str | None:
    """Return one number, or the range of all runs as the form has it."""
    values = cell.values.get(name)
    if values is None:
        return None
    digits = 3 if divisor > 1 else 2
    low, high = (round(value / divisor, digits) for value in (min(values), max(values)))
    return low if low == high else f"{low}-{high}"
