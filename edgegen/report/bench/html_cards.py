"""The headline of the page: what a reader should see first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from edgegen.report.bench.comparing import RunComparison
from edgegen.report.bench.figures import FIGURES, SPEEDS
from edgegen.report.bench.judging import judgement_of
from edgegen.report.bench.rows import interval, percent
from edgegen.report.bench.runs import Report
from edgegen.report.bench.titles import heading, title


@dataclass(frozen=True)
class Card:
    """One thing that a reader should see first."""

    label: str
    value: str
    unit: str
    detail: str
    tone: str = ""


def cards(report: Report) -> Iterator[Card]:
    """Yield how it compares, the best rates, memory, and trouble."""
    several = len(report.comparisons) > 1
    yield from (_verdict(comparison, several=several) for comparison in report.comparisons)
    yield from _figures(report)
    total = sum(len(run.records) for run in report.runs)
    failed = [run for cell in report.cells for run in cell.failures]
    kinds = sorted({run.failure.kind.replace("_", " ") for run in failed})
    detail = ", ".join(kinds) or "every run has a result"
    tone = "bad" if failed else "good"
    yield Card("Failed runs", str(len(failed)), f"of {total}", detail, tone)
    throttled = sum(cell.drift is not None and cell.drift.throttled for cell in report.cells)
    if throttled:
        detail = "the rates fell while it ran, or the device said so"
        yield Card("Throttled", str(throttled), f"of {len(report.cells)} cells", detail, "bad")


def _figures(report: Report) -> Iterator[Card]:
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
        yield Card(label[0].upper() + label[1:], value, figure.unit, detail)


def _verdict(comparison: RunComparison, *, several: bool) -> Card:
    """Say in one word what the exit status of --fail-if-slower says, and by which limit."""
    judged = judgement_of(comparison)
    speeds = [each for cell in comparison.cells for each in cell.figures if each.name in SPEEDS]
    faster = sum(each.comparison.verdict == "faster" for each in speeds)
    within = sum(each.comparison.within_limit for each in speeds)
    slower, lost = judged.count("slower"), judged.count("lost")
    undecided = sum(len(cell.undecided) for cell in comparison.cells)
    tone = "bad" if judged.regressed else ""
    if not judged.comparable:
        value = "not comparable"
    elif slower:
        value = "slower"
    elif lost:
        value = "results lost"
    elif undecided and faster:
        value = "partly faster"
    elif undecided:
        value = "undecided"
    else:
        value, tone = "faster" if faster else "not slower", "good"
    counts = {
        "slower": slower,
        "lost": lost,
        "undecided": undecided,
        "within it": within,
        "shown to be faster": faster,
    }
    told = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    detail = f"limit {percent(comparison.slower_limit)}, {len(speeds)} speeds compared"
    label = f"Beside {heading(comparison, several=several)}"
    return Card(label, value, "", f"{detail}: {told}" if told else detail, tone)
