"""The record of a benchmark as other programs read it: units in every name."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from edgegen import __version__
from edgegen.device.samples import BenchRun, Sample
from edgegen.report.stats import Summary, summarize

# Raised when a name or meaning changes; new names alone do not raise it.
SCHEMA_VERSION = 1


@dataclass(frozen=True)
class BenchRecord:
    """A benchmark with its statistics.

    Attributes:
        schema_version: Version of these names.
        edgegen_version: Who wrote the record.
        started_at: When the benchmark began, ISO 8601 in UTC.
        bundle: File name of the bundle.
        bundle_bytes: Its size.
        device: Facts about the device, as in `DeviceFacts`.
        delegate: `cpu` or `gpu`.
        gpu_adapter: Name of the GPU, if one was used.
        threads: CPU threads asked for; `None` for the engine's choice.
        prefill_tokens: Prompt length of every sample.
        decode_tokens: Tokens generated in every sample.
        warmup: Runs that were not kept.
        first_init_ms: Initialization with an empty weight cache.
        delegations: Who computed what, as in `Delegation`.
        samples: Every kept run.
        summaries: Statistics by the name of the sample's field.
    """

    schema_version: int
    edgegen_version: str
    started_at: str
    bundle: str
    bundle_bytes: int
    device: Mapping[str, Any]
    delegate: str
    gpu_adapter: str | None
    threads: int | None
    prefill_tokens: int
    decode_tokens: int
    warmup: int
    first_init_ms: float
    delegations: tuple[Mapping[str, Any], ...]
    samples: tuple[Sample, ...]
    summaries: Mapping[str, Summary]

    @property
    def test(self) -> str:
        """Short name of what was measured, such as `pp128+tg64`."""
        return f"pp{self.prefill_tokens}+tg{self.decode_tokens}"

    def as_dict(self) -> dict[str, Any]:
        """Return everything as values that JSON knows."""
        return {**asdict(self), "test": self.test}


def bench_record(run: BenchRun) -> BenchRecord:
    """Make the record of a run; all samples are kept beside their statistics."""
    names = [field.name for field in dataclasses.fields(Sample)]
    return BenchRecord(
        schema_version=SCHEMA_VERSION,
        edgegen_version=__version__,
        started_at=run.started_at.isoformat(timespec="seconds"),
        bundle=run.bundle.name,
        bundle_bytes=run.bundle_bytes,
        device=asdict(run.device),
        delegate=run.spec.delegate,
        gpu_adapter=run.gpu_adapter,
        threads=run.spec.threads,
        prefill_tokens=run.spec.prefill_tokens,
        decode_tokens=run.spec.decode_tokens,
        warmup=run.spec.warmup,
        first_init_ms=run.first_init_ms,
        delegations=tuple(asdict(delegation) for delegation in run.delegations),
        samples=run.samples,
        summaries={
            name: summarize([getattr(sample, name) for sample in run.samples]) for name in names
        },
    )
