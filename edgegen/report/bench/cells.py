"""From rows to cells: repeats of one thing with their statistics, limits and troubles."""

from __future__ import annotations

import statistics as arithmetic
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from edgegen.device.bench.record import DelegationFacts, Failure, Record
from edgegen.report.bench.figures import COLD_INIT, FIGURES, Figure
from edgegen.report.bench.records import started_at
from edgegen.report.bench.roofline import Roofline, roofline_of
from edgegen.report.bench.wording import device_identity, emulated, short
from edgegen.report.statistics import Drift, Summary, drift, summarize

_INTERVAL_RUNS = 3  # fewer give no interval
_DRIFT_RUNS = 3


@dataclass(frozen=True)
class FailedRun:
    """A run without a result.

    Attributes:
        index: Its number within the cell.
        phase: What it would have counted for.
        failure: Why.
        log: Where the raw log lies, relative to the benchmark's folder.
    """

    index: int
    phase: str
    failure: Failure
    log: str | None


@dataclass(frozen=True)
class CellSummary:
    """Repeats of one thing.

    Attributes:
        run: Name of the benchmark that they belong to.
        cell: Name of the cell.
        example: A row of it, for what all have in common: bundle, engine, device, workload.
        kept: Rows with a result that count.
        values: For each name of `FIGURES` that there is, one value of each kept run, in order.
        summaries: Their statistics, in the units of the record.
        cold_init_ms: Statistics of initializations that found nothing prepared.
        failures: Runs without a result, of all phases.
        roofline: How far decode is from what memory allows; `None` where that is not known.
        drift: Whether decode, or prefill where nothing is decoded, changed from run to run.
        energy_sources: Where energy was read.
        delegations: Who computed what.
        missing: Sources that could not be read, each with its reason.
        notes: What a reader must know before believing the numbers.
        rows: How many rows it has, of all phases.
        apart: What its title says besides, where another would be called the same.
    """

    run: str
    cell: str
    example: Record
    kept: tuple[Record, ...]
    values: Mapping[str, tuple[float, ...]]
    summaries: Mapping[str, Summary]
    cold_init_ms: Summary | None
    failures: tuple[FailedRun, ...]
    roofline: Roofline | None
    drift: Drift | None
    energy_sources: tuple[str, ...]
    delegations: tuple[DelegationFacts, ...]
    missing: Mapping[str, str]
    notes: tuple[str, ...]
    rows: int
    apart: str = ""


def summaries_of(records: Iterable[Record], *, run: str = "") -> list[CellSummary]:
    """Put rows of the same cell together, in the order in which cells appear.

    Rows of one cell are kept apart where they measured another file, engine or device.

    Args:
        records: Rows of one benchmark.
        run: What to call the benchmark.
    """
    groups: dict[object, list[Record]] = {}
    for record in records:
        key = (
            record.cell,
            record.bundle.sha256,
            device_identity(record.device),
            record.engine.runner,
            record.engine.version,
            tuple(sorted(record.engine.files_sha256.items())),
        )
        groups.setdefault(key, []).append(record)
    return [_summary(run, group) for group in groups.values()]


def _summary(run: str, records: Sequence[Record]) -> CellSummary:
    """Summarize the rows of one cell."""
    kept = tuple(r for r in records if r.phase == "kept" and r.metrics is not None)
    values = {name: taken for name, figure in FIGURES.items() if (taken := _values(figure, kept))}
    summaries = {name: summarize(taken) for name, taken in values.items()}
    cold = _values(COLD_INIT, [r for r in records if r.phase == "cold"])
    example = (kept or tuple(records))[0]
    decode = summaries.get("decode_tokens_per_s")
    roofline = None if decode is None else roofline_of(kept, decode.median)
    drifting = _drift(kept)
    return CellSummary(
        run=run,
        cell=example.cell,
        example=example,
        kept=kept,
        values=values,
        summaries=summaries,
        cold_init_ms=summarize(cold) if cold else None,
        failures=tuple(
            FailedRun(r.index, r.phase, r.failure, r.log) for r in records if r.failure is not None
        ),
        roofline=roofline,
        drift=drifting,
        energy_sources=tuple(dict.fromkeys(r.energy.source for r in kept if r.energy is not None)),
        delegations=example.delegations,
        missing={source: why for r in records for source, why in r.missing.items()},
        notes=tuple(_notes(records, kept, roofline, drifting)),
        rows=len(records),
    )


def _values(figure: Figure, records: Iterable[Record]) -> tuple[float, ...]:
    return tuple(float(value) for r in records if (value := figure.of(r)) is not None)


def timed_values(cell: CellSummary, name: str) -> tuple[list[float], list[float]]:
    """Return the values of a figure in order of time, and when each run began, in seconds."""
    return _timed(FIGURES[name], cell.kept)


def _timed(figure: Figure, kept: Iterable[Record]) -> tuple[list[float], list[float]]:
    told = [
        (started_at(r).timestamp(), float(value))
        for r in kept
        if (value := figure.of(r)) is not None
    ]
    # By time alone: rows of one second stay in the order in which they were written.
    told.sort(key=lambda pair: pair[0])
    return [value for _, value in told], [started for started, _ in told]


def _drift(kept: Sequence[Record]) -> Drift | None:
    """Look for a trend over the runs, `None` where there are too few."""
    for name in ("decode_tokens_per_s", "prefill_tokens_per_s"):
        values, started = _timed(FIGURES[name], kept)
        if len(values) >= _DRIFT_RUNS:
            conditions = [r.conditions for r in kept]
            capped = [c.cpu_max_khz_capped for c in conditions if c.cpu_max_khz_capped is not None]
            return drift(
                values,
                started,
                thermal_statuses=[
                    status
                    for c in conditions
                    for status in (c.thermal_status_before, c.thermal_status_after)
                ],
                cpu_capped=any(capped) if capped else None,
            )
    return None


def _notes(
    records: Sequence[Record],
    kept: Sequence[Record],
    roofline: Roofline | None,
    drifting: Drift | None,
) -> Iterator[str]:
    """Yield what takes something away from the numbers."""
    example = (kept or records)[0]
    if emulated(example):
        yield "this GPU is emulated in software; its speeds mean nothing"
    if drifting is not None and drifting.throttled:
        yield f"throttled: {short(drifting.why, 200)}"
    capped = sum(r.conditions.cpu_max_khz_capped is True for r in kept)
    if capped:
        yield f"a CPU's clock was capped in {capped} of {len(kept)} runs"
    hot = Counter(
        r.conditions.thermal_status_after
        for r in kept
        if r.conditions.thermal_status_after not in (None, "none")
    )
    for status, count in hot.items():
        yield f"the device said '{short(status, 20)}' of its heat after {count} of {len(kept)} runs"
    if kept and len(kept) < _INTERVAL_RUNS:
        yield f"{len(kept)} of {_INTERVAL_RUNS} runs that an interval needs: --repeats 5 or more"
    padded = example.prefill_padded_tokens
    if padded is not None and padded > example.prefill_tokens > 0:
        yield (
            f"the prompt of {example.prefill_tokens} tokens is computed as {padded}: "
            "no prefill signature has its length"
        )
    if any(r.energy is not None and r.energy.source == "battery" for r in kept) and any(
        r.conditions.charging for r in kept
    ):
        yield "the battery was being charged, so energy is not what the run took"
    if roofline is not None and roofline.share is not None and roofline.share > 1:
        yield (
            "decode reads faster than the copy benchmark: it is a lower bound, or weights came "
            "from a cache"
        )


def failure_counts(cells: Iterable[CellSummary]) -> dict[str, int]:
    """Return how often each kind of failure happened, the most frequent first."""
    counts = Counter(failed.failure.kind for cell in cells for failed in cell.failures)
    return dict(counts.most_common())


def median_run(cell: CellSummary) -> Record | None:
    """Return the kept run whose rate is nearest the median: the one to show over time."""
    for name in ("decode_tokens_per_s", "prefill_tokens_per_s"):
        rates = [(r, v) for r in cell.kept if (v := FIGURES[name].of(r)) is not None]
        if rates:
            middle = arithmetic.median(value for _, value in rates)
            return min(rates, key=lambda pair: abs(pair[1] - middle))[0]
    return None
