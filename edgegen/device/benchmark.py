"""Measuring a bundle: choose counts that fit, run, keep every sample."""

from __future__ import annotations

import dataclasses
from datetime import datetime, timezone
from pathlib import Path

from edgegen.bundle import Bundle, Measurement, open_bundle
from edgegen.bundle.dimensions import Dimensions, read_dimensions
from edgegen.bundle.engine_types import Delegate
from edgegen.device.runners import RUNNERS
from edgegen.device.samples import BenchRun, BenchSpec, Sample
from edgegen.errors import BundleError, DeviceError, EngineError, did_you_mean
from edgegen.progress import stage

DEFAULT_DECODE_TOKENS = 128


def bench(
    bundle: str | Path | Bundle,
    *,
    device: str = "host",
    delegate: Delegate = "cpu",
    prefill_tokens: int | None = None,
    decode_tokens: int | None = None,
    repeats: int = 3,
    warmup: int = 1,
    threads: int | None = None,
    timeout_s: float | None = None,
) -> BenchRun:
    """Measure a bundle with the engine's own benchmark, each run in a fresh process.

    Reports the stage `bench` in runs.

    Args:
        bundle: A `.task` file or what `open_bundle` returned.
        device: Where to run: a key of `RUNNERS`.
        delegate: Who computes: `cpu` or `gpu`.
        prefill_tokens: Prompt length; by default the longest prefill signature that leaves
            room for as many answer tokens.
        decode_tokens: Tokens to generate; by default 128 or what still fits.
        repeats: Runs that are kept.
        warmup: Runs before them that are not, at least one.
        threads: CPU threads, `None` for the engine's choice.
        timeout_s: Longest time for one run, in seconds.

    Raises:
        BundleError: the file is not a usable bundle.
        DeviceError: there is no such device.
        EngineError: the counts do not fit the KV cache, or the engine failed.
        ValueError: a count is below 1.
    """
    if device not in RUNNERS:
        raise DeviceError(f"unknown device '{device}'", did_you_mean(device, RUNNERS))
    runner = RUNNERS[device]
    opened = bundle if isinstance(bundle, Bundle) else open_bundle(bundle)
    prefill, decode = fitting_counts(
        opened.path, read_dimensions(opened), prefill_tokens, decode_tokens
    )
    spec = BenchSpec(delegate, prefill, decode, repeats, warmup, threads, timeout_s)
    started_at = datetime.now(timezone.utc)
    measurements = []
    with stage("bench", warmup + repeats, "runs") as advance:
        for measurement in runner.measurements(opened, spec):
            measurements.append(measurement)
            advance(1)
    return BenchRun(
        bundle=opened.path,
        bundle_bytes=opened.path.stat().st_size,
        device=runner.describe(),
        spec=spec,
        started_at=started_at,
        first_init_ms=measurements[0].init_ms,
        samples=tuple(map(_sample, measurements[warmup:])),
        delegations=measurements[-1].delegations,
        gpu_adapter=measurements[-1].gpu_adapter,
    )


def fitting_counts(
    path: Path, dimensions: Dimensions, prefill_tokens: int | None, decode_tokens: int | None
) -> tuple[int, int]:
    """Choose or check the counts of a benchmark against the KV cache.

    The engine would silently run fewer tokens than asked for.

    Raises:
        BundleError: the model has no KV cache or no prefill signature.
        EngineError: the counts do not fit together.
    """
    capacity = dimensions.kv_cache_len
    if capacity is None or not dimensions.prefill_lens:
        names = ", ".join(dimensions.signatures) or "none"
        raise BundleError(
            f"the model in {path} has the signatures {names}, expected decode with "
            "a KV cache and prefill_N",
            "convert the checkpoint with edgegen build",
        )
    if prefill_tokens is None:
        room = capacity - decode_tokens if decode_tokens else capacity // 2
        fitting = [length for length in dimensions.prefill_lens if length <= room]
        prefill_tokens = max(fitting, default=max(1, room))
    if decode_tokens is None:
        decode_tokens = max(1, min(DEFAULT_DECODE_TOKENS, capacity - prefill_tokens))
    if prefill_tokens + decode_tokens > capacity:
        raise EngineError(
            f"{prefill_tokens} prompt tokens and {decode_tokens} answer tokens do not fit the "
            f"KV cache of {capacity}",
            f"ask for at most {capacity} together, or build with a larger --kv-cache-len",
        )
    return prefill_tokens, decode_tokens


def _sample(measurement: Measurement) -> Sample:
    names = (field.name for field in dataclasses.fields(Sample))
    return Sample(**{name: getattr(measurement, name) for name in names})
