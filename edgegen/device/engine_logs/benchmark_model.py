"""Output of TFLite's `benchmark_model`, the classic one and LiteRT's `CompiledModel` one.

Lines may be bare, begin with `INFO: ` and a file's name, or be those of logcat.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from edgegen.device.engine_logs.numbers import NUMBER, mib, positive

_RUNS = re.compile(rf"count=(\d{{1,9}}) (first={NUMBER}[^\n]{{0,300}})")
_VALUE = re.compile(rf"\b(min|max|avg|std|median)={NUMBER}")
_TIMINGS = re.compile(
    rf"Inference timings in us: Init: {NUMBER}, First inference: {NUMBER}, "
    rf"Warmup \(avg\): {NUMBER}, Inference \(avg\): {NUMBER}"
)
_PEAK = re.compile(rf"Overall peak memory footprint \(MB\) via periodic monitoring: {NUMBER}")
_BEGIN = re.compile(r"=+ BENCHMARK RESULTS =+")
_ROWS = {
    "init_us": re.compile(rf"Model initialization:\s{{1,40}}{NUMBER} ms"),
    "first_us": re.compile(rf"Warmup \(first\):\s{{1,40}}{NUMBER} ms"),
    "warmup_us": re.compile(rf"Warmup \(avg\):\s{{1,40}}{NUMBER} ms"),
    "average_us": re.compile(rf"Inference \(avg\):\s{{1,40}}{NUMBER} ms"),
    "minimum_us": re.compile(rf"Inference \(min\):\s{{1,40}}{NUMBER} ms"),
    "maximum_us": re.compile(rf"Inference \(max\):\s{{1,40}}{NUMBER} ms"),
    "deviation_us": re.compile(rf"Inference \(std\):\s{{1,40}}{NUMBER}"),
}
_COUNT = re.compile(rf"Inference \(avg\):\s{{1,40}}{NUMBER} ms \((\d{{1,9}}) runs\)")
_PEAK_MB = re.compile(rf"Peak memory:\s{{1,40}}{NUMBER} MB")


@dataclass(frozen=True)
class BenchmarkModelLog:
    """Times of one signature with random inputs, in microseconds; `None` where not told.

    Attributes:
        init_us: Loading the model and preparing it.
        first_us: The first inference.
        warmup_us: Mean of those that do not count.
        average_us: Mean of those that do.
        minimum_us: The fastest of them.
        maximum_us: The slowest of them.
        deviation_us: Their standard deviation.
        median_us: Their median.
        runs: How many they were.
        peak_memory_bytes: Highest memory footprint.
    """

    init_us: float | None = None
    first_us: float | None = None
    warmup_us: float | None = None
    average_us: float | None = None
    minimum_us: float | None = None
    maximum_us: float | None = None
    deviation_us: float | None = None
    median_us: float | None = None
    runs: int | None = None
    peak_memory_bytes: int | None = None


def parse_benchmark_model(text: str) -> BenchmarkModelLog | None:
    """Return what the log tells; `None` if it tells no times. Never raises."""
    text = text[-(16 * 1024**2) :]
    found = _compiled_model(text) if _BEGIN.search(text) else _classic(text)
    return None if found == BenchmarkModelLog() else found


def _classic(text: str) -> BenchmarkModelLog:
    # Warm-up runs are told first, in the same form.
    runs = _RUNS.findall(text)
    timings = _TIMINGS.findall(text)
    values = dict(_VALUE.findall(runs[-1][1])) if runs and timings else {}
    init, first, warmup, average = timings[-1] if timings else (None,) * 4
    peaks = _PEAK.findall(text)
    return BenchmarkModelLog(
        init_us=positive(init),
        first_us=positive(first),
        warmup_us=positive(warmup),
        average_us=positive(average),
        minimum_us=positive(values.get("min")),
        maximum_us=positive(values.get("max")),
        deviation_us=positive(values.get("std")),
        median_us=positive(values.get("median")),
        runs=int(runs[-1][0]) if values else None,
        peak_memory_bytes=mib(peaks[-1]) if peaks else None,
    )


def _compiled_model(text: str) -> BenchmarkModelLog:
    block = text[[found.end() for found in _BEGIN.finditer(text)][-1] :]
    times = {name: pattern.search(block) for name, pattern in _ROWS.items()}
    count, peak = _COUNT.search(block), _PEAK_MB.search(block)
    return BenchmarkModelLog(
        **{name: positive(found[1], 1000) for name, found in times.items() if found},
        runs=int(count[2]) if count else None,
        peak_memory_bytes=mib(peak[1]) if peak else None,
    )
