"""From raw samples to numbers that mean something, and to text."""

from __future__ import annotations

from edgegen.report.render import render_bench
from edgegen.report.schema import SCHEMA_VERSION, BenchRecord, bench_record
from edgegen.report.stats import Summary, summarize

__all__ = [
    "SCHEMA_VERSION",
    "BenchRecord",
    "Summary",
    "bench_record",
    "render_bench",
    "summarize",
]
