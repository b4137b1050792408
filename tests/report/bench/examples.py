"""Made-up benchmarks that look like real ones: two phones, CPU and GPU, failures, a baseline.

The numbers come from a seeded generator and stand for nothing.
"""

from __future__ import annotations

import math
import random
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import msgspec

from edgegen.device.bench.record import (
    SCHEMA,
    BundleFacts,
    Conditions,
    DelegationFacts,
    Energy,
    EngineFacts,
    Failure,
    Memory,
    Metrics,
    Record,
)
from edgegen.device.bench.workload import parse_workload

MIB = 1024**2
PIXEL: dict[str, Any] = {
    "serial": "39281FDJH0012X",
    "transport": "adb",
    "model": "Pixel 8a",
    "manufacturer": "Google",
    "soc": "Google Tensor G3",
    "platform": "zuma",
    "gpu": "ARM Mali-G715",
    "abis": ["arm64-v8a"],
    "system": "Android 16",
    "api_level": 36,
    "build_fingerprint": "google/akita/akita:16/BP2A.250805.005/13691446:user/release-keys",
    "kernel": "6.1.124-android14",
    "ram_total_bytes": 7_750 * MIB,
    "ram_available_bytes": 4_100 * MIB,
    "folder": "/data/local/tmp/edgegen",
    "free_bytes": 40 * 1024 * MIB,
    "clusters": [
        {"cpus": [0, 1, 2, 3], "max_khz": 1_700_000},
        {"cpus": [4, 5, 6, 7], "max_khz": 2_370_000},
        {"cpus": [8], "max_khz": 2_910_000},
    ],
    "thermal_status": "none",
    "battery_percent": 84.0,
    "charging": False,
    "opencl_library": "/vendor/lib64/libOpenCL.so",
    "opencl_reachable": True,
}
GALAXY: dict[str, Any] = PIXEL | {
    "serial": "RFCX90ABCDE",
    "model": "SM-S942B",
    "manufacturer": "Samsung",
    "soc": "Qualcomm SM8850",
    "platform": "canoe",
    "gpu": "Qualcomm Adreno 840",
    "ram_total_bytes": 11_500 * MIB,
    "build_fingerprint": "samsung/m1sxeea/m1s:16/BP2A.250605.031/S942BXXU1AYL2:user/release-keys",
    "kernel": "6.12.23-android16",
    "clusters": [
        {"cpus": [0, 1, 2, 3, 4, 5], "max_khz": 3_630_000},
        {"cpus": [6, 7], "max_khz": 4_600_000},
    ],
}
BUNDLE = BundleFacts(
    name="qwen3-0.6b-int8.litertlm",
    sha256="5f" * 32,
    size_bytes=614 * MIB,
    recipe="dynamic_wi8_afp32",
    weight_bytes=598 * MIB,
    weight_bytes_per_decode=446 * MIB,
    kv_bytes_per_token=114_688,
    kv_cache_len=1280,
    prefill_lens=(128, 512),
)
SMALL = replace(
    BUNDLE,
    name="qwen3-0.6b-int4.litertlm",
    sha256="a1" * 32,
    size_bytes=371 * MIB,
    recipe="dynamic_wi4b32_afp32",
    weight_bytes=355 * MIB,
    weight_bytes_per_decode=248 * MIB,
)
# device, delegate, prefill tokens/s, decode tokens/s, first °C
_RATES = (
    (PIXEL, "cpu", 142.0, 19.6, 34.0),
    (PIXEL, "gpu", 612.0, 23.4, 35.0),
    (GALAXY, "cpu", 431.0, 41.0, 33.0),
    (GALAXY, "gpu", 1870.0, 58.5, 34.0),
)
_COPY = {"Pixel 8a": 27.5e9, "SM-S942B": 61.0e9}
_START = datetime(2026, 11, 23, 12, 0, tzinfo=timezone.utc)
_CRASH = """11-23 12:31:07.402 F DEBUG   : signal 11 (SIGSEGV), code 1, fault addr 0x18
11-23 12:31:07.402 F DEBUG   : backtrace:
11-23 12:31:07.402 F DEBUG   :   #00 pc 00000000001b2c44  /vendor/lib64/egl/libGLES_mali.so"""


def record(**changes: Any) -> Record:
    """Return one kept run on a phone's CPU, with what the caller wants otherwise."""
    base = Record(
        schema=SCHEMA,
        run_id="20261123T120000Z-4c1f",
        cell="qwen3-0.6b-int8/Pixel-8a/cpu/pp512+tg128",
        index=1,
        phase="kept",
        started_at="2026-11-23T12:00:00Z",
        wall_s=14.2,
        edgegen_version="0.1.0",
        bundle=BUNDLE,
        engine=EngineFacts(
            "litert-lm",
            "LiteRT-LM",
            "0.18.1",
            {"litert_lm_advanced_main": "c0" * 32, "libLiteRtLm.so": "d7" * 32},
        ),
        device=PIXEL,
        workload="pp512+tg128",
        prefill_tokens=512,
        decode_tokens=128,
        depth=0,
        prefill_padded_tokens=512,
        delegate="cpu",
        threads=4,
        activations=None,
        cpu_mask=None,
        flags=("--backend=cpu", "--benchmark_prefill_tokens=512", "--num_cpu_threads=4"),
        delegations=(DelegationFacts("TfLiteXNNPackDelegate", 1012, 1070, 29, "decode"),),
        metrics=Metrics(
            init_ms=812.0,
            ttft_ms=3655.0,
            prefill_tokens=512,
            prefill_tokens_per_s=142.0,
            decode_tokens=128,
            decode_tokens_per_s=19.6,
            init_phases_ms={"executor": 577.3},
        ),
        memory=Memory(1060 * MIB, 410 * MIB, 650 * MIB, None, None, None),
        conditions=Conditions("none", "none", 41.0, 34.0, 0.0, False, 84.0, False, False),
        energy=Energy(96.0, 0.15, "battery"),
        memory_bytes_per_s=27.5e9,
        memory_method="memcpy of 256 MiB blocks, 4 threads, best of 5",
        missing={"pss_bytes": "smaps_rollup: Permission denied"},
        failure=None,
        log="logs/cell-1.log",
        series=None,
    )
    return replace(base, **changes)


def runs(
    *,
    seed: int = 1,
    kept: int = 7,
    speed: float = 1.0,
    bundle: BundleFacts = BUNDLE,
    run_id: str = "20261123T120000Z-4c1f",
    failures: bool = True,
) -> list[tuple[Record, str]]:
    """Return a whole benchmark: each run with its samples over time as CSV."""
    chance = random.Random(seed)
    made: list[tuple[Record, str]] = []
    started = _START
    for device, delegate, prefill, decode, celsius in _RATES:
        for workload in ("pp512+tg128", "pp128+tg64@d512"):
            cell = "/".join(
                (
                    bundle.name.partition(".")[0],
                    device["model"].replace(" ", "-"),
                    delegate,
                    workload,
                )
            )
            depth = 0.93 if "@" in workload else 1.0
            # The Pixel's GPU grows hot over the runs; the others are steady.
            slowing = 0.022 if (device, delegate) == (PIXEL, "gpu") else 0.0
            for index in range(kept + 2):
                started += timedelta(seconds=40 + chance.random())
                noise = math.exp(chance.gauss(0, 0.025 if delegate == "cpu" else 0.012))
                factor = speed * noise * depth * (1 - slowing * max(index - 1, 0))
                made.append(
                    _run(
                        index,
                        started,
                        device,
                        delegate,
                        workload,
                        cell,
                        bundle,
                        run_id,
                        prefill * factor,
                        decode * factor,
                        celsius + (5 if slowing else 0.8) * index,
                        chance,
                    )
                )
    if failures:
        made += _failing(run_id, bundle, started)
    return made


def _run(
    index: int,
    started: datetime,
    device: dict[str, Any],
    delegate: str,
    workload: str,
    cell: str,
    bundle: BundleFacts,
    run_id: str,
    prefill: float,
    decode: float,
    celsius: float,
    chance: random.Random,
) -> tuple[Record, str]:
    """Return one run that went well."""
    asked = parse_workload(workload)
    gpu = delegate == "gpu"
    phase = "cold" if index == 0 else "warmup" if index == 1 else "kept"
    init_ms = (2900.0 if gpu else 1650.0) if phase == "cold" else (960.0 if gpu else 640.0)
    init_ms *= math.exp(chance.gauss(0, 0.05))
    ttft_ms = 1000 * (asked.prefill_tokens / prefill + 1.1 / decode)
    busy_s = asked.prefill_tokens / prefill + asked.decode_tokens / decode
    wall_s = init_ms / 1000 + busy_s + 0.3
    joules = (3.9 if gpu else 6.2) * wall_s
    anon = (240 if gpu else 395) * MIB + int(chance.random() * 12 * MIB)
    file = (120 if gpu else 640) * MIB
    name = f"{cell.replace('/', '-')}-{index}"
    made = record(
        run_id=run_id,
        cell=cell,
        index=index,
        phase=phase,
        started_at=started.isoformat().replace("+00:00", "Z"),
        wall_s=wall_s,
        bundle=bundle,
        engine=EngineFacts(
            "litert-lm",
            "LiteRT-LM",
            "0.18.1",
            {"litert_lm_advanced_main": "c0" * 32, "libLiteRtLm.so": "d7" * 32},
            device["gpu"] if gpu else None,
        ),
        device=device,
        workload=workload,
        prefill_tokens=asked.prefill_tokens,
        decode_tokens=asked.decode_tokens,
        depth=asked.depth,
        prefill_padded_tokens=asked.prefill_tokens,
        delegate=delegate,
        threads=None if gpu else 4,
        activations="float16" if gpu else None,
        flags=(f"--backend={delegate}", f"--benchmark_prefill_tokens={asked.prefill_tokens}"),
        delegations=(
            DelegationFacts("LITERT_CL", 1070, 1070, 1, "decode")
            if gpu
            else DelegationFacts("TfLiteXNNPackDelegate", 1012, 1070, 29, "decode"),
        ),
        metrics=Metrics(
            init_ms,
            ttft_ms,
            asked.prefill_tokens,
            prefill,
            asked.decode_tokens,
            decode,
            {"executor": init_ms * 0.8},
        ),
        memory=Memory(anon + file, anon, file, None, bundle.weight_bytes if gpu else None, None),
        conditions=Conditions(
            "none",
            "light" if celsius > 65 else "none",
            celsius + 6,
            celsius,
            4.0 * index,
            celsius > 60,
            84.0 - index / 3,
            False,
            False,
        ),
        energy=Energy(joules, joules / asked.tokens, "battery"),
        memory_bytes_per_s=_COPY[device["model"]] * math.exp(chance.gauss(0, 0.01)),
        log=f"logs/{name}.log",
        series=f"series/{name}.csv",
    )
    return made, series_csv(made, seed=index)


def series_csv(made: Record, *, seed: int = 0, interval_s: float = 0.1) -> str:
    """Return samples over time that fit a run."""
    chance = random.Random(seed)
    clusters = made.device["clusters"]
    cpus = [(cpu, cluster["max_khz"]) for cluster in clusters for cpu in cluster["cpus"]]
    header = ["time_s", "rss_bytes", "rss_anon_bytes", "rss_file_bytes", "gpu_bytes"]
    header += ["celsius.BIG", "celsius.LITTLE", "celsius.G3D", "celsius.skin"]
    header += [f"khz.cpu{cpu}" for cpu, _ in cpus] + ["gpu_khz", "battery_ma", "battery_mv"]
    assert made.metrics is not None
    init_s = (made.metrics.init_ms or 0) / 1000
    anon, file = made.memory.peak_rss_anon_bytes or 0, made.memory.peak_rss_file_bytes or 0
    first, last = made.conditions.start_celsius or 30, made.conditions.max_celsius or 30
    gpu = made.delegate == "gpu"
    rows = [",".join(header)]
    for step in range(int(made.wall_s / interval_s)):
        time_s = step * interval_s
        loaded = min(1.0, time_s / max(init_s, 0.1))
        heat = 1 - math.exp(-time_s / (made.wall_s / 3))
        big = first + (last - first) * heat
        now_anon = int(anon * loaded * (0.94 if time_s < init_s + 1 else 1.0))
        now_file = int(file * min(1.0, loaded * 1.15))
        busy = time_s > 0.2 and not gpu
        clocks = [
            int(khz * (1.0 if busy or chance.random() < 0.2 else 0.45) * (1 if big < 62 else 0.82))
            for _, khz in cpus
        ]
        cells = [
            f"{time_s:.2f}",
            now_anon + now_file,
            now_anon,
            now_file,
            made.memory.peak_gpu_bytes and int(made.memory.peak_gpu_bytes * loaded),
            f"{big + chance.gauss(0, 0.4):.1f}",
            f"{first + (big - first) * 0.7:.1f}",
            f"{first + (big - first) * (0.95 if gpu else 0.4):.1f}",
            f"{31 + heat * 2:.1f}",
            *clocks,
            int(890_000 * (1 if gpu and time_s > init_s else 0.2)),
            int((1450 if gpu else 1690) * (0.5 + loaded / 2) + chance.gauss(0, 60)),
            int(4280 - time_s * 2),
        ]
        rows.append(",".join("" if cell is None else str(cell) for cell in cells))
    return "\n".join(rows) + "\n"


def _failing(run_id: str, bundle: BundleFacts, started: datetime) -> list[tuple[Record, str]]:
    """Return runs of which nothing came."""
    failures = (
        Failure(
            "crashed",
            "the engine ended by SIGSEGV while it compiled GPU programs",
            "Mali's driver r38p1 does so with int4 embeddings; try --activations float32",
            _CRASH,
        ),
        Failure(
            "not_on_gpu",
            "the GPU was asked for, and 14 of 1070 nodes of decode ran on the CPU",
            "edgegen check BUNDLE names the operators that the delegate refuses",
            "ERROR: GATHER_ND: Operation is not supported.\nINFO: 1056 operations will run on the "
            "GPU, and the remaining 14 operations will run on the CPU.",
        ),
        Failure("timed_out", "the engine was not done after 600 s", "allow more with --timeout"),
    )
    made = []
    for index, failure in enumerate(failures):
        failed = record(
            run_id=run_id,
            cell=f"{bundle.name.partition('.')[0]}/Pixel-8a/gpu/pp1024+tg64",
            index=index,
            phase="kept",
            started_at=(started + timedelta(minutes=index + 1)).isoformat(),
            bundle=bundle,
            workload="pp1024+tg64",
            prefill_tokens=1024,
            decode_tokens=64,
            prefill_padded_tokens=1024,
            delegate="gpu",
            threads=None,
            metrics=None,
            memory=Memory(),
            energy=None,
            delegations=(),
            failure=failure,
            log=f"logs/pp1024-{index}.log",
        )
        made.append((failed, ""))
    return made


def write_run(folder: Path, rows: list[tuple[Record, str]]) -> Path:
    """Write a benchmark's folder as `edgegen bench --out` leaves it."""
    (folder / "series").mkdir(parents=True)
    with (folder / "records.jsonl").open("wb") as lines:
        for row, csv in rows:
            lines.write(msgspec.json.encode(row) + b"\n")
            if row.series is not None:
                (folder / row.series).write_text(csv)
    return folder
