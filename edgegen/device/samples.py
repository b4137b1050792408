"""What a benchmark was asked to do and what each of its runs measured."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from edgegen.bundle.engine_types import Delegate, Delegation


@dataclass(frozen=True)
class BenchSpec:
    """What to measure.

    Attributes:
        delegate: Who computes: `cpu` or `gpu`.
        prefill_tokens: Prompt length, in tokens.
        decode_tokens: Tokens to generate.
        repeats: Runs that are kept, each in a fresh process.
        warmup: Runs before them that are not. At least one: it fills the cache of prepared
            weights, so that all kept runs start alike.
        threads: CPU threads, `None` for the engine's choice.
        timeout_s: Longest time for one run, in seconds; `None` for no limit.
    """

    delegate: Delegate
    prefill_tokens: int
    decode_tokens: int
    repeats: int = 3
    warmup: int = 1
    threads: int | None = None
    timeout_s: float | None = None

    def __post_init__(self) -> None:
        for name in ("prefill_tokens", "decode_tokens", "repeats", "warmup"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)!r}, expected >= 1")


@dataclass(frozen=True)
class Sample:
    """One run.

    Attributes:
        init_ms: From opening the bundle to a session that is ready, weights prepared before.
        ttft_ms: Time to first token.
        prefill_tokens_per_s: Rate of prefill.
        decode_tokens_per_s: Rate of decode.
        peak_rss_bytes: Peak resident memory of the engine's process.
    """

    init_ms: float
    ttft_ms: float
    prefill_tokens_per_s: float
    decode_tokens_per_s: float
    peak_rss_bytes: int


@dataclass(frozen=True)
class DeviceFacts:
    """The device that measured.

    Attributes:
        name: Processor or phone.
        cpus: CPUs that the engine may use.
        memory_bytes: Main memory; `None` where the system does not tell.
        system: Operating system with its version.
        engine: Engine with its version.
    """

    name: str
    cpus: int
    memory_bytes: int | None
    system: str
    engine: str


@dataclass(frozen=True)
class BenchRun:
    """All that one benchmark measured.

    Attributes:
        bundle: The bundle.
        bundle_bytes: Its size.
        device: Who measured.
        spec: What was asked for; every sample ran exactly these counts.
        started_at: When, in UTC.
        first_init_ms: Initialization of the very first run, which found an empty cache and
            prepared the weights.
        samples: One per repeat.
        delegations: Who computed what.
        gpu_adapter: Name of the GPU, if one was used. A software adapter's rates say nothing
            about real GPUs.
    """

    bundle: Path
    bundle_bytes: int
    device: DeviceFacts
    spec: BenchSpec
    started_at: datetime
    first_init_ms: float
    samples: tuple[Sample, ...]
    delegations: tuple[Delegation, ...]
    gpu_adapter: str | None
