"""This machine: LiteRT-LM's Python engine, in a child process per run."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.metadata
import importlib.util
import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from types import TracebackType
from typing import Any

from edgegen.bundle.contents import Bundle
from edgegen.bundle.engine import NoRatesError, WrongCountsError, measure_message, measured
from edgegen.bundle.engine_gpu import check_gpu_ran, delegations
from edgegen.bundle.engine_log import (
    explain,
    gpu_adapter,
    known_cause,
    quote,
    refused_by_gpu,
)
from edgegen.bundle.engine_measure import measuring_way
from edgegen.bundle.engine_process import (
    EngineAnswerError,
    EngineProcess,
    EngineTimeoutError,
    engine_process,
)
from edgegen.bundle.engine_types import Measurement, MeasureRequest
from edgegen.device.bench.record import (
    Conditions,
    DelegationFacts,
    EngineFacts,
    Failure,
    FailureKind,
    Metrics,
)
from edgegen.device.runners.host_cache import cache_folder
from edgegen.device.runners.interface import RunOutcome, RunRequest
from edgegen.device.runners.oom import killed, oom_kills
from edgegen.device.runners.options import RunnerOptions
from edgegen.device.transports.failures import CancelledError
from edgegen.device.transports.interface import Transport
from edgegen.device.transports.local import SERIAL, Local
from edgegen.errors import DeviceError, EdgegenError, EngineError

_PACKAGE = "litert-lm-api"
_CHUNK_BYTES = 1 << 20


class HostRunner:
    """Runs LiteRT-LM on this machine, each time in a process of its own.

    A prompt alone and an answer alone are run as such where the engine can: for an answer it
    wants a prompt of at least one token, which is run and not told of. The engine keeps prepared
    weights in a temporary folder that starts empty and is removed at the end; left to itself it
    would put them beside the bundle.
    """

    def __init__(self) -> None:
        self._transport = Local()
        self._stack = contextlib.ExitStack()
        self._caches: dict[Path, Path] = {}  # by the folder of the bundles

    def prepare(self, bundle: Bundle) -> None:
        """Make a folder for prepared weights.

        Raises:
            DeviceError: LiteRT-LM is not installed.
        """
        if importlib.util.find_spec("litert_lm") is None:
            raise DeviceError(
                "LiteRT-LM is not installed, it runs bundles on this machine",
                f"install it for this Python: pip install {_PACKAGE}",
            )
        self._cache(bundle)

    def device(self) -> Mapping[str, Any]:
        """Return facts about this machine."""
        from edgegen.device.description import describe_device

        folder = next(iter(self._caches.values()), Path(tempfile.gettempdir()))
        described = asdict(describe_device(self._transport, str(folder.absolute())))
        # The folder is a passing one, and what it has free changes from call to call.
        passing = {"folder": None, "free_bytes": None}
        model = described["model"] or _processor()
        return {**described, **passing, "model": model, "cpus": len(os.sched_getaffinity(0))}

    def engine(self) -> EngineFacts:
        """Return the engine's version and the hash of its library."""
        return EngineFacts(
            runner="host",
            name="litert-lm (Python)",
            version=importlib.metadata.version(_PACKAGE),
            files_sha256=_library_hashes(),
        )

    def conditions(self) -> Conditions:
        """Return this machine's state now."""
        from edgegen.device.sampling import conditions_of

        return conditions_of(self._transport)

    def memory_bytes_per_s(self) -> tuple[float, str] | None:
        """Measure how fast this machine copies large blocks of memory."""
        from edgegen.device.sampling import copy_rate

        return copy_rate(self._transport)

    def drop_caches(self) -> None:
        """Remove the weights that the engine prepared."""
        for folder in self._caches.values():
            for entry in folder.iterdir():
                if entry.is_dir():
                    shutil.rmtree(entry)
                else:
                    entry.unlink()

    def run(self, request: RunRequest) -> RunOutcome:
        """Run the engine once; see `Runner.run`."""
        asked = MeasureRequest(
            prefill_tokens=request.workload.prefill_tokens,
            decode_tokens=request.workload.decode_tokens,
            depth=request.workload.depth,
            delegate=request.delegate,
            threads=request.threads,
            activations=request.activations,
            cache_dir=self._cache(request.bundle),
            timeout_s=request.timeout_s,
            cpu_mask=request.cpu_mask,
        )
        unusable = _unusable_cpus(request.cpu_mask)
        if unusable is not None:
            return RunOutcome(0.0, None, unusable, flags=_flags(asked))
        flags = _flags(asked)
        started, kills = time.monotonic(), oom_kills()
        try:
            message = measure_message(request.bundle, asked)
            flags = (*flags, f"way={measuring_way(message)}")
            outcome = self._watched(message, asked, request)
        except EngineError as error:  # it could not even be started
            outcome = RunOutcome(0.0, None, _failure("missing", error))
        except EdgegenError as error:  # the bundle cannot be read any more
            outcome = RunOutcome(0.0, None, _failure("refused", error))
        if request.cancel is not None and request.cancel.is_set():
            raise CancelledError(SERIAL)
        failure = outcome.failure
        if failure is not None and failure.kind == "crashed" and "SIGKILL" in failure.message:
            failure = killed(failure, kills, oom_kills())
        wall_s = time.monotonic() - started
        return replace(outcome, wall_s=wall_s, failure=failure, flags=flags)

    def close(self) -> None:
        """Remove the prepared weights."""
        self._caches.clear()
        self._stack.close()

    def __enter__(self) -> HostRunner:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _watched(
        self, message: dict[str, Any], asked: MeasureRequest, request: RunRequest
    ) -> RunOutcome:
        """Run the engine's process with the sampler beside it."""
        from edgegen.device.sampling import (
            joules_of,
            memory_of,
            missing_of,
            read_series,
            sampled_process,
        )

        with engine_process(message, request.timeout_s, request.cancel) as child:
            with sampled_process(child.pid, request.sample_interval_s) as sampling:
                found, failure = _result(child, asked)
            log, csv = child.log, sampling.csv()
        series = read_series(csv)
        # Its own last word; the sampler may have missed the end.
        told = None if found is None else found.peak_rss_bytes
        return RunOutcome(
            wall_s=0.0,
            metrics=None if found is None else _metrics(found),
            failure=failure,
            memory=memory_of(series, told),
            delegations=tuple(DelegationFacts(**asdict(one)) for one in delegations(log)),
            gpu_adapter=gpu_adapter(log),
            samples_csv=csv,
            joules=joules_of(series),
            missing=missing_of(series, told),
            log=log,
        )

    def _cache(self, bundle: Bundle) -> Path:
        folder = bundle.path.absolute().parent
        if folder not in self._caches:
            self._caches[folder] = self._stack.enter_context(cache_folder(folder))
        return self._caches[folder]


def open(transport: Transport | None, options: RunnerOptions) -> HostRunner:
    """Return the runner of this machine; it takes neither."""
    return HostRunner()


def _result(
    child: EngineProcess, asked: MeasureRequest
) -> tuple[Measurement | None, Failure | None]:
    """Read the engine's answer; return it, or why there is none."""
    try:
        for answer in child.answers():
            child.note(answer)
        returncode = child.wait()
    except EngineTimeoutError as error:
        return None, _failure("timed_out", error, quote(child.log))
    except EngineAnswerError as error:
        return None, _failure("no_result", error, quote(child.log))
    log = child.log
    if asked.delegate == "gpu":
        refusal = refused_by_gpu(log)
        if refusal is not None:
            return None, _failure("refused", refusal, quote(log))
    if child.done is None or returncode != 0:
        why = explain(log, child.error, returncode, asked.delegate)
        kind: FailureKind = "crashed" if returncode < 0 else "refused"
        if child.error is None and returncode >= 0:
            kind = "no_result"
        return None, _failure(kind, why, quote(log))
    try:
        if asked.delegate == "gpu":
            check_gpu_ran(log)
    except EngineError as error:
        return None, _failure("not_on_gpu", error, quote(log))
    try:
        return measured(child.done, log, asked), None
    except (WrongCountsError, NoRatesError, EngineAnswerError) as error:
        known = known_cause(log, None, 0, asked.delegate)
        if known is not None:  # the engine says zeros after errors
            return None, _failure("refused", known, quote(log))
        kind = "wrong_counts" if isinstance(error, WrongCountsError) else "no_result"
        return None, _failure(kind, error, quote(log))


def _metrics(found: Measurement) -> Metrics:
    return Metrics(
        init_ms=found.init_ms,
        ttft_ms=found.ttft_ms,
        prefill_tokens=found.prefill_tokens,
        prefill_tokens_per_s=found.prefill_tokens_per_s,
        decode_tokens=found.decode_tokens,
        decode_tokens_per_s=found.decode_tokens_per_s,
    )


def _failure(kind: FailureKind, error: EdgegenError, excerpt: str = "") -> Failure:
    return Failure(kind, error.message, error.hint or "", excerpt)


def _unusable_cpus(mask: int | None) -> Failure | None:
    """Return why the engine cannot be pinned to these CPUs."""
    allowed = sum(1 << cpu for cpu in os.sched_getaffinity(0))
    if mask is None or mask & ~allowed == 0:
        return None
    if mask & allowed:
        message = f"of the mask {mask:x} only {mask & allowed:x} can be used here"
    else:
        message = f"none of the CPUs of the mask {mask:x} can be used here"
    return Failure("unsupported", message, f"choose among {allowed:x}")


def _flags(asked: MeasureRequest) -> tuple[str, ...]:
    """Return what stands for the engine's command line."""
    told = {**asdict(asked), "cache_dir": "a temporary folder"}
    return tuple(f"{name}={value}" for name, value in told.items() if value is not None)


@functools.cache
def _library_hashes() -> dict[str, str]:
    spec = importlib.util.find_spec("litert_lm")
    if spec is None or not spec.submodule_search_locations:
        return {}
    hashes = {}
    for folder in spec.submodule_search_locations:
        for path in sorted(Path(folder).glob("*.so*")):
            digest = hashlib.sha256()
            with path.open("rb") as file:
                while chunk := file.read(_CHUNK_BYTES):
                    digest.update(chunk)
            hashes[path.name] = digest.hexdigest()
    return hashes


def _processor() -> str | None:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return None  # ARM's cpuinfo names no model
