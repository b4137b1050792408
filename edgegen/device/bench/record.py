"""The record of one run: a row of `records.jsonl`, with units in its names.

What a device or an engine did not tell is `None`; nothing is filled in. The Android app writes
the same rows. `record.schema.json` beside this file is made from these classes
(`scripts/bench_schema.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

# Raised when a name or meaning changes; new names alone do not raise it.
SCHEMA = "edgegen.bench/2"

Phase = Literal["cold", "warmup", "kept"]
FailureKind = Literal[
    "refused",  # by the engine: the bundle, the counts or a flag
    "crashed",  # ended by a signal or an abort
    "out_of_memory",
    "timed_out",
    "not_on_gpu",  # the GPU was asked for, and nothing shows that it computed
    "wrong_counts",  # other token counts were run than asked for
    "no_result",  # it ended well and told no rates, or what it told cannot be read
    "device_lost",
    "too_hot",
    "unsupported",  # by this runner
    "missing",  # the engine, the app or the bundle is not there
]


@dataclass(frozen=True)
class Failure:
    """Why a run has no result.

    Attributes:
        kind: What sort of failure.
        message: What happened, in words.
        hint: What to do about it.
        excerpt: The lines of a log that show it.
    """

    kind: FailureKind
    message: str
    hint: str = ""
    excerpt: str = ""


@dataclass(frozen=True)
class BundleFacts:
    """What was measured.

    Attributes:
        name: File name.
        sha256: Of the file.
        size_bytes: Of the file.
        recipe: How it was quantized, if edgegen made it.
        weight_bytes: Of the model's constants.
        weight_bytes_per_decode: Of those that decode reads whole for each token; a table that it
            looks up rows in counts with one row.
        kv_bytes_per_token: What one token takes in the KV cache.
        kv_cache_len: Tokens that the KV cache holds.
        prefill_lens: Prompt lengths that have a signature.
    """

    name: str
    sha256: str
    size_bytes: int
    recipe: str | None = None
    weight_bytes: int | None = None
    weight_bytes_per_decode: int | None = None
    kv_bytes_per_token: int | None = None
    kv_cache_len: int | None = None
    prefill_lens: tuple[int, ...] = ()


@dataclass(frozen=True)
class EngineFacts:
    """What measured.

    Attributes:
        runner: A key of `edgegen.device.runners.RUNNERS`.
        name: The engine.
        version: Its version, as it tells it.
        files_sha256: The hash of each of its files.
        gpu_adapter: The GPU that it chose, by the name of the driver.
    """

    runner: str
    name: str
    version: str | None = None
    files_sha256: Mapping[str, str] = field(default_factory=dict)
    gpu_adapter: str | None = None


@dataclass(frozen=True)
class DelegationFacts:
    """How much of one signature a delegate took; see `edgegen.bundle.engine_types.Delegation`."""

    delegate: str
    nodes_delegated: int
    nodes_total: int
    partitions: int
    signature: str


@dataclass(frozen=True)
class Metrics:
    """What the engine told of its times.

    Attributes:
        init_ms: From opening the bundle to a session that is ready.
        ttft_ms: Time to first token.
        prefill_tokens: Tokens of the prompt that were really run.
        prefill_tokens_per_s: Rate of prefill.
        decode_tokens: Tokens that were really generated.
        decode_tokens_per_s: Rate of decode.
        init_phases_ms: Parts of the initialization, by the engine's names; they may overlap.
    """

    init_ms: float | None = None
    ttft_ms: float | None = None
    prefill_tokens: int | None = None
    prefill_tokens_per_s: float | None = None
    decode_tokens: int | None = None
    decode_tokens_per_s: float | None = None
    init_phases_ms: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Memory:
    """The highest values seen for the engine's process.

    Attributes:
        peak_rss_bytes: Resident memory; the kernel's own mark where it tells one.
        peak_rss_anon_bytes: Of it, memory of its own: caches, arenas, unpacked weights.
        peak_rss_file_bytes: Of it, mapped files: weights that need not be kept.
        peak_pss_bytes: Resident memory with shared pages divided by those that share them.
        peak_gpu_bytes: What the GPU's driver has given it.
        peak_dmabuf_bytes: Buffers shared with hardware.
    """

    peak_rss_bytes: int | None = None
    peak_rss_anon_bytes: int | None = None
    peak_rss_file_bytes: int | None = None
    peak_pss_bytes: int | None = None
    peak_gpu_bytes: int | None = None
    peak_dmabuf_bytes: int | None = None


@dataclass(frozen=True)
class Conditions:
    """The device's state before and after the run.

    Attributes:
        thermal_status_before: One of `edgegen.device.description.THERMAL_STATUS`.
        thermal_status_after: The same, afterwards.
        max_celsius: The highest temperature of any zone during the run.
        start_celsius: The highest temperature of any zone when it began.
        waited_s: How long the thermal gate and the cool-down held the run back.
        cpu_max_khz_capped: Whether a CPU's frequency was capped below its own maximum.
        battery_percent: Charge at the beginning.
        charging: Whether it was being charged.
        screen_on: Whether the screen was on.
    """

    thermal_status_before: str | None = None
    thermal_status_after: str | None = None
    max_celsius: float | None = None
    start_celsius: float | None = None
    waited_s: float = 0.0
    cpu_max_khz_capped: bool | None = None
    battery_percent: float | None = None
    charging: bool | None = None
    screen_on: bool | None = None


@dataclass(frozen=True)
class Energy:
    """What the run took from the battery, or from the socket where RAPL tells it.

    Attributes:
        joules: From start to end of the engine's process, initialization included.
        joules_per_token: Of the tokens computed, prompt and answer; `None` where unknown.
        source: `battery` or `rapl`.
    """

    joules: float
    joules_per_token: float | None
    source: str


@dataclass(frozen=True)
class Record:
    """One run.

    Attributes:
        schema: `SCHEMA`.
        run_id: The benchmark that it belongs to.
        cell: The cell of the matrix: runs with the same name are repeats of the same thing.
        index: Number of the run within its cell, from 0, warm-up included.
        phase: `cold` found no prepared weights and counts for its initialization only; `warmup`
            does not count; `kept` does.
        started_at: ISO 8601, UTC.
        wall_s: From starting the engine's process to its end.
        edgegen_version: Who wrote the record.
        bundle: What was measured.
        engine: What measured.
        device: Where, as in `DeviceDescription`.
        workload: The test's name, such as `pp512+tg128`.
        prefill_tokens: Prompt length asked for.
        decode_tokens: Tokens to generate asked for.
        depth: Tokens in the KV cache before.
        prefill_padded_tokens: Tokens that the signatures compute for the prompt, padding included.
        delegate: `cpu` or `gpu`.
        threads: CPU threads asked for; `None` for the engine's choice.
        activations: Precision between layers asked for; `None` for the engine's choice.
        cpu_mask: CPUs that the process was pinned to, as a bit mask.
        flags: The engine's command line, or what stands for it.
        delegations: Who computed what.
        metrics: Times and rates; `None` after a failure.
        memory: The highest values.
        conditions: The device's state.
        energy: `None` where the device does not tell.
        memory_bytes_per_s: What copying large blocks of memory reached on the device in the same
            benchmark; `memory_method` tells which bytes it counts.
        memory_method: How that was measured: with `read + written`, bytes of both count; with
            `read only, a lower bound`, those that were read, and memory may be faster.
        missing: Sources that could not be read, each with its reason.
        failure: Why there is no result; `None` if there is one.
        log: Where the raw log lies, relative to the benchmark's folder.
        series: Where the samples over time lie, relative to the benchmark's folder.
    """

    schema: str
    run_id: str
    cell: str
    index: int
    phase: Phase
    started_at: str
    wall_s: float
    edgegen_version: str
    bundle: BundleFacts
    engine: EngineFacts
    device: Mapping[str, Any]
    workload: str
    prefill_tokens: int
    decode_tokens: int
    depth: int
    prefill_padded_tokens: int | None
    delegate: Literal["cpu", "gpu"]
    threads: int | None
    activations: str | None
    cpu_mask: int | None
    flags: tuple[str, ...]
    delegations: tuple[DelegationFacts, ...]
    metrics: Metrics | None
    memory: Memory
    conditions: Conditions
    energy: Energy | None
    memory_bytes_per_s: float | None
    memory_method: str | None
    missing: Mapping[str, str]
    failure: Failure | None
    log: str | None
    series: str | None
