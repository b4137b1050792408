"""Cells and comparisons as values that JSON knows, for other programs."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import msgspec

from edgegen.device.bench.record import SCHEMA
from edgegen.report.bench.cells import CellSummary
from edgegen.report.bench.comparing import ComparedCell, RunComparison
from edgegen.report.bench.judging import judgement_of, losses
from edgegen.report.bench.runs import Report


def render_jsonl(report: Report) -> str:
    """Return one line for each cell: what was measured, every kept value, and its statistics."""
    return "".join(f"{json.dumps(cell_dict(cell))}\n" for cell in report.cells)


def report_dict(report: Report) -> dict[str, Any]:
    """Return the whole report."""
    return {
        "schema": SCHEMA,
        "runs": [
            {"name": run.name, "records": len(run.records), "notes": list(run.notes)}
            for run in report.runs
        ],
        "cells": [cell_dict(cell) for cell in report.cells],
        "comparison": [_comparison(each) for each in report.comparisons] or None,
        "notes": list(report.notes),
    }


def cell_dict(cell: CellSummary) -> dict[str, Any]:
    """Return a cell; names and units are those of the record."""
    told = msgspec.to_builtins(cell.example)
    shared = (
        "run_id",
        "bundle",
        "engine",
        "device",
        "workload",
        "prefill_tokens",
        "decode_tokens",
        "depth",
        "prefill_padded_tokens",
        "delegate",
        "threads",
        "activations",
        "cpu_mask",
        "flags",
        "delegations",
        "edgegen_version",
    )
    return {
        "run": cell.run,
        "cell": cell.cell,
        **{name: told[name] for name in shared},
        "kept": len(cell.kept),
        "started_at": [record.started_at for record in cell.kept],
        "values": {name: list(values) for name, values in cell.values.items()},
        "summaries": {name: asdict(summary) for name, summary in cell.summaries.items()},
        "cold_init_ms": cell.cold_init_ms and asdict(cell.cold_init_ms),
        "failures": [msgspec.to_builtins(failed) for failed in cell.failures],
        "roofline": cell.roofline and asdict(cell.roofline),
        "drift": cell.drift and asdict(cell.drift),
        "energy_sources": list(cell.energy_sources),
        "missing": dict(cell.missing),
        "notes": list(cell.notes),
    }


def _comparison(comparison: RunComparison) -> dict[str, Any]:
    judged = judgement_of(comparison)
    return {
        "baseline": comparison.baseline,
        "candidate": comparison.candidate,
        "slower_limit": comparison.slower_limit,
        "comparable": judged.comparable,
        "regressed": judged.regressed,
        "findings": [asdict(finding) for finding in judged.findings],
        "cells": [_compared(cell) for cell in comparison.cells],
        "only_baseline": [cell.cell for cell in comparison.only_baseline],
        "only_candidate": [cell.cell for cell in comparison.only_candidate],
    }


def _compared(cell: ComparedCell) -> dict[str, Any]:
    return {
        "baseline": cell.baseline.cell,
        "candidate": cell.candidate.cell,
        "differs": list(cell.differs),
        "interleaved": cell.interleaved,
        "lost": list(losses(cell)),
        "slower": [each.name for each in cell.slower],
        "undecided": [each.name for each in cell.undecided],
        "figures": {each.name: asdict(each.comparison) for each in cell.figures},
    }
