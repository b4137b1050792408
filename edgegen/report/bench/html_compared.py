"""Comparisons on the page: ratios with their intervals on one scale."""

from __future__ import annotations

from typing import Any

from edgegen.report.bench.comparing import ComparedCell, ComparedFigure, RunComparison
from edgegen.report.bench.judging import losses
from edgegen.report.bench.rows import advice, compared_rows, ratio_interval, tests_used, verdict
from edgegen.report.bench.svg import ratio_bar
from edgegen.report.bench.titles import heading, title

_MOST = 60
_TONES = {"faster": "good", "slower": "bad"}
_SYMBOLS = {"faster": "▲", "slower": "▼"}


def compared(comparison: RunComparison, *, several: bool) -> dict[str, Any]:
    """Return what the page's template wants of a comparison."""
    figures = [each for cell in comparison.cells for each in cell.figures]
    reach = [
        abs(end - 1)
        for each in figures
        for end in (each.comparison.ratio, each.comparison.ratio_low, each.comparison.ratio_high)
        if end is not None
    ]
    # A wide interval of one cell must not hide all others.
    half = min(max([0.1, *reach]) * 1.1, 1.0)
    ends = (1 - half, 1 + half)
    alone = {
        "the baseline": comparison.only_baseline,
        "this benchmark": comparison.only_candidate,
    }
    return {
        "heading": heading(comparison, several=several),
        "ends": [f"{end:.2f}" for end in (ends[0], 1, ends[1])],
        "cells": [_cell(cell, ends) for cell in comparison.cells[:_MOST]],
        "cells_left_out": max(0, len(comparison.cells) - _MOST),
        "alone": [
            {
                "where": where,
                "names": [title(cell) for cell in cells[:_MOST]],
                "left_out": max(0, len(cells) - _MOST),
            }
            for where, cells in alone.items()
        ],
        "tests": tests_used(figures),
    }


def _cell(cell: ComparedCell, ends: tuple[float, float]) -> dict[str, Any]:
    return {
        "title": title(cell.candidate),
        "differs": "; ".join(cell.differs) or "nothing that the rows tell",
        "lost": list(losses(cell)),
        "advice": advice(cell),
        "figures": [
            _figure(each, row, ends)
            for each, row in zip(cell.figures, compared_rows(cell), strict=True)
        ],
    }


def _figure(
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
