"""What repeated runs of one thing, or of two things, show, and how surely.

Plain numbers in, frozen dataclasses out; `docs/explanation/statistics.md` says which methods,
and why these.
"""

from __future__ import annotations

from edgegen.report.statistics.comparison import Comparison, Verdict, compare
from edgegen.report.statistics.drift import Drift, drift
from edgegen.report.statistics.pairs import interleaved_pairs
from edgegen.report.statistics.repeats import MAX_REPEATS, repeats_for
from edgegen.report.statistics.summary import Summary, summarize

__all__ = [
    "MAX_REPEATS",
    "Comparison",
    "Drift",
    "Summary",
    "Verdict",
    "compare",
    "drift",
    "interleaved_pairs",
    "repeats_for",
    "summarize",
]
