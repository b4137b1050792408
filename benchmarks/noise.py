"""Noise of this machine: the same short run again and again, and what comparisons make of it.

    python benchmarks/noise.py --record quiet        # writes benchmarks/data/noise-quiet.json
    python benchmarks/noise.py --calibrate           # false alarms and power on all such files

Each run is a fresh process of LiteRT-LM with the shipped tiny model. `--record` says under which
conditions, in a word; the tests read what lies in `benchmarks/data/`.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import shlex
import sys
import tempfile
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

DATA = Path(__file__).resolve().parent / "data"
PREFILL_TOKENS = 128
DECODE_TOKENS = 256
# Left out: they fill the cache of prepared weights.
WARMUP = 3
RATES = ("prefill_tokens_per_s", "decode_tokens_per_s")
SLOWDOWN = 0.1
POWER = 0.9
TRIED = (5, 6, 8, 10, 12, 15, 20, 25, 30, 35, 40, 50, 60, 70, 80, 90, 100, 120, 150, 200)
METRICS = ("prefill_tokens_per_s", "decode_tokens_per_s", "ttft_ms", "init_ms", "peak_rss_bytes")


def record(conditions: str, runs: int, threads: int) -> Path:
    """Run the shipped model `runs` times and write what each run told."""
    from edgegen import demo
    from edgegen.bundle.engine import measure
    from edgegen.bundle.engine_types import MeasureRequest
    from edgegen.files import atomic_output, refuse_overwrite
    from edgegen.pipeline import build

    path = DATA / f"noise-{conditions}.json"
    refuse_overwrite(path, force=False)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bundle = build(
            demo.CHECKPOINT,
            folder / "demo.task",
            prefill_lens=demo.PREFILL_LENS,
            kv_cache_len=demo.KV_CACHE_LEN,
        ).bundle
        request = MeasureRequest(
            PREFILL_TOKENS, DECODE_TOKENS, threads=threads, cache_dir=folder, timeout_s=60
        )
        series: dict[str, list[float]] = {key: [] for key in ("started_s", *METRICS)}
        for index in range(WARMUP + runs):
            if index == WARMUP:
                began = time.monotonic()
                date = datetime.now(timezone.utc)
                load_before = os.getloadavg()[0]
            started = time.monotonic()
            measured = measure(bundle, request)
            if index < WARMUP:
                continue
            series["started_s"].append(round(started - began, 3))
            for metric in METRICS:
                series[metric].append(float(f"{getattr(measured, metric):.6g}"))
            if (index - WARMUP + 1) % 50 == 0:
                print(f"{index - WARMUP + 1} of {runs} runs", file=sys.stderr)
    told: dict[str, Any] = {
        "conditions": conditions,
        "command": shlex.join(["python", "benchmarks/noise.py", *sys.argv[1:]]),
        "date": date.strftime("%Y-%m-%d"),
        "cpu": processor(),
        "cpus": len(os.sched_getaffinity(0)),
        "load_average": [round(load, 2) for load in (load_before, os.getloadavg()[0])],
        "engine": f"litert-lm {importlib.metadata.version('litert-lm-api')}",
        "model": "the shipped tiny model, dynamic_wi8_afp32",
        "prefill_tokens": PREFILL_TOKENS,
        "decode_tokens": DECODE_TOKENS,
        "threads": threads,
    }
    # One line for each series: small, and a diff shows what changed.
    lines = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in told.items()]
    rows = [f"    {json.dumps(key)}: {json.dumps(value)}" for key, value in series.items()]
    lines.append('  "runs": {\n' + ",\n".join(rows) + "\n  }")
    with atomic_output(path) as temporary:
        temporary.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    return path


def processor() -> str:
    """Return the processor's name."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()  # ARM's cpuinfo names no model


def calibrate_all(files: list[Path]) -> None:
    """Print false alarms and power on each file, as Markdown."""
    for path in files:
        told = json.loads(path.read_text())
        print(f"\n## {told['conditions']}: `{told['command']}`, {told['date']}\n")
        load = " to ".join(str(load) for load in told["load_average"])
        print(f"{told['cpu']}, {told['cpus']} CPUs, load average {load}, {told['engine']}.\n")
        for metric in RATES:
            print_calibration(metric, told["runs"][metric])


def print_normal() -> None:
    """Print what intervals and advice do on normal noise."""
    import numpy as np

    from edgegen.report.statistics import repeats_for, summarize

    random = np.random.default_rng(0)
    print("\n## normal noise\n\n| samples | the interval of the median held it |\n|---|---|")
    for count in (3, 4, 5, 6, 7, 8, 10, 15, 20, 30):
        held = 0
        for _ in range(400):
            told = summarize(random.normal(size=count).tolist())
            assert told.low is not None
            assert told.high is not None
            held += told.low <= 0 <= told.high
        print(f"| {count} | {held / 400:.0%} |")
    print("\n| noise | repeats that find 10 % in turns | one after the other |\n|---|---|---|")
    for spread in (0.01, 0.02, 0.03, 0.05, 0.08, 0.12):
        values = np.exp(np.random.default_rng(0).normal(0, spread, 400)).tolist()
        turns, apart = repeats_for(values, interleaved=True), repeats_for(values)
        print(f"| {spread:.0%} | {turns} | {apart} |")


def print_calibration(metric: str, series: list[float]) -> None:
    """Print false alarms and power on one series."""
    from scipy import stats

    from edgegen.report.statistics import summarize
    from edgegen.report.statistics.calibration import calibrate

    told = summarize(series)
    lags = {lag: stats.spearmanr(series[lag:], series[:-lag]).statistic for lag in (1, 2, 5)}
    print(f"### {metric}\n")
    spread = (told.stddev or 0) / told.mean
    print(
        f"{told.n} runs, median {told.median:.4g}, standard deviation {spread:.1%} of the mean; "
        + ", ".join(f"runs {lag} apart correlate by {r:.2f}" for lag, r in lags.items())
        + ".\n"
    )
    print("| runs | sides | repeats | A/A said different | 10 % slower found |")
    print("|---|---|---|---|---|")
    for order in ("separate", "ranks alone", "alternating", "drawn"):
        for resampling in ("shuffled", "consecutive"):
            for repeats in (5, 10, 20, 30):
                cut = {"resampling": resampling, "order": order, "repeats": repeats}
                same = calibrate(series, **cut)
                slower = calibrate(series, **cut, slowdown=SLOWDOWN)
                print(
                    f"| {resampling} | {order} | {repeats} | {same.different} of "
                    f"{same.comparisons} | {slower.slower / slower.comparisons:.0%} |"
                )
    print()
    for order in ("separate", "drawn"):
        print_repeats(series, order)
    print_drift(series)


def print_repeats(series: list[float], order: str) -> None:
    """Print how many repeats find the slowdown, and what is advised."""
    from edgegen.report.statistics import MAX_REPEATS, repeats_for
    from edgegen.report.statistics.calibration import calibrate

    # A comparison cut out of the record has at most half of it on each side.
    for repeats in (count for count in TRIED if count <= len(series) // 2):
        cut = {"resampling": "shuffled", "order": order, "repeats": repeats}
        found = calibrate(series, **cut, slowdown=SLOWDOWN)
        if found.slower >= POWER * found.comparisons:
            enough = f"90 % found with {repeats} repeats, shuffled"
            break
    else:
        enough = f"90 % not found with {repeats} repeats, shuffled"
    turns = order != "separate"
    advised = repeats_for(series, SLOWDOWN, POWER, interleaved=turns)
    of_ten = sorted(
        repeats_for(series[at : at + 10], SLOWDOWN, POWER, interleaved=turns)
        for at in range(0, len(series) - 9, 10)
    )
    tenth = len(of_ten) // 10
    print(
        f"- {order}: {enough}; `repeats_for` advises {advised} from all runs and, from ten at a "
        f"time, {of_ten[len(of_ten) // 2]} (in eight of ten cases {of_ten[tenth]} to "
        f"{of_ten[-1 - tenth]}), where {MAX_REPEATS} stands for that or more"
    )


def print_drift(series: list[float]) -> None:
    """Print how often the order of the runs was flagged."""
    from edgegen.report.statistics.calibration import drift_alarms

    print("\n| runs in order | taken | drift flagged | throttling flagged |")
    print("|---|---|---|---|")
    for resampling in ("shuffled", "consecutive"):
        for runs in (5, 10, 20, 30):
            drifting, throttled = drift_alarms(series, resampling=resampling, runs=runs)
            print(f"| {runs} | {resampling} | {drifting} of 200 | {throttled} of 200 |")
    print()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--record", metavar="CONDITIONS", help="record under this name: quiet, loaded")
    add("--runs", type=int, default=400, help="runs to record (400)")
    add("--threads", type=int, default=1, help="threads of the engine (1)")
    add("--calibrate", action="store_true", help="say what comparisons make of the noise")
    add("files", nargs="*", type=Path, help="what to calibrate on (all in benchmarks/data)")
    arguments = parser.parse_args()
    if not arguments.record and not arguments.calibrate:
        parser.error("say --record CONDITIONS or --calibrate")
    if arguments.record:
        from edgegen.errors import EdgegenError

        try:
            print(record(arguments.record, arguments.runs, arguments.threads))
        except EdgegenError as error:
            sys.exit(f"error: {error}")
    if arguments.calibrate:
        print_normal()
        calibrate_all(arguments.files or sorted(DATA.glob("noise-*.json")))
    return 0


if __name__ == "__main__":
    sys.exit(main())
