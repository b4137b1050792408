"""Benchmarks as reports: rows read, put together into cells, compared, and shown."""

from __future__ import annotations

from edgegen.report.bench.cells import CellSummary, FailedRun, summaries_of
from edgegen.report.bench.comparing import ComparedCell, RunComparison, compare_cells
from edgegen.report.bench.csv_tables import render_cells_csv, render_csv
from edgegen.report.bench.html import render_html
from edgegen.report.bench.jsonl import render_jsonl, report_dict
from edgegen.report.bench.judging import Finding, Judgement, judgement_of
from edgegen.report.bench.litertlm_manifest import (
    left_out_of_manifest,
    render_litertlm_manifest,
)
from edgegen.report.bench.llama_bench import render_llama_bench
from edgegen.report.bench.markdown import render_markdown
from edgegen.report.bench.records import BenchmarkRun, RecordsError, read_records, read_run
from edgegen.report.bench.roofline import Roofline
from edgegen.report.bench.runs import Report, report_of
from edgegen.report.bench.terminal import render_terminal

__all__ = [
    "BenchmarkRun",
    "CellSummary",
    "ComparedCell",
    "FailedRun",
    "Finding",
    "Judgement",
    "RecordsError",
    "Report",
    "Roofline",
    "RunComparison",
    "compare_cells",
    "judgement_of",
    "left_out_of_manifest",
    "read_records",
    "read_run",
    "render_cells_csv",
    "render_csv",
    "render_html",
    "render_jsonl",
    "render_litertlm_manifest",
    "render_llama_bench",
    "render_markdown",
    "render_terminal",
    "report_dict",
    "report_of",
    "summaries_of",
]
