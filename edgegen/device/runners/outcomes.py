"""One command of a device, and what its end means."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass

from edgegen.bundle.contents import Bundle
from edgegen.bundle.dimensions import read_dimensions
from edgegen.bundle.engine_output import BoundedLog
from edgegen.device.bench.causes import failure_of
from edgegen.device.bench.record import Failure, FailureKind, Metrics
from edgegen.device.runners.interface import RunOutcome, RunRequest
from edgegen.device.transports.failures import (
    CancelledError,
    ConnectionLostError,
    DeviceTimeoutError,
    NoDeviceError,
    NoServerError,
    OfflineError,
    ProtocolError,
    UnauthorizedError,
    UnknownSerialError,
    UnreachableError,
)
from edgegen.device.transports.interface import Command, Transport
from edgegen.errors import DeviceError, EdgegenError

# Errors that mean that nobody is there any more.
LOST = (
    ConnectionLostError,
    DeviceTimeoutError,
    NoDeviceError,
    NoServerError,
    OfflineError,
    ProtocolError,
    UnauthorizedError,
    UnknownSerialError,
    UnreachableError,
)
_TIMES = ("init_ms", "ttft_ms", "prefill_tokens_per_s", "decode_tokens_per_s")
_SILENT = "the engine ended without telling {} of {}"
_FORM = "look at the log; an engine of another release may write another form"
_GRACE_S = 30.0  # beyond the engine's own time, for what surrounds it


@dataclass(frozen=True)
class Ran:
    """What became of one command on a device.

    Attributes:
        wall_s: From its start to its end.
        exit_code: Its status; `None` if nobody knows.
        log: What it wrote.
        csv: The samples.
        files: Files that it left, by name; those that are not there are missing.
        pid: Its process there.
        failure: Why it did not come to an end of its own.
        missing: What of it could not be fetched, each with its reason.
    """

    wall_s: float
    exit_code: int | None
    log: str
    csv: str = ""
    files: Mapping[str, bytes] = dataclasses.field(default_factory=dict)
    pid: int | None = None
    failure: Failure | None = None
    missing: Mapping[str, str] = dataclasses.field(default_factory=dict)


def streamed(transport: Transport, command: Command, request: RunRequest) -> Ran:
    """Run a command to its end, however long it is silent; a GPU's start takes its time.

    Raises:
        CancelledError: `request.cancel` was set.
    """
    log, started = BoundedLog(), time.monotonic()
    try:
        with transport.stream(
            command, timeout_s=request.timeout_s + _GRACE_S, cancel=request.cancel
        ) as running:
            for output in running:
                log.add(output.data)
            return Ran(time.monotonic() - started, running.exit_code, log.text())
    except CancelledError:
        raise
    except DeviceError as error:
        wall_s = time.monotonic() - started
        late = isinstance(error, DeviceTimeoutError) and wall_s >= request.timeout_s
        failure = timed_out(request) if late else lost(error)
        return Ran(wall_s, None, log.text(), failure=failure)


def unsupported(message: str, hint: str, flags: tuple[str, ...] = ()) -> RunOutcome:
    """Return the outcome of a run that this runner cannot make."""
    return RunOutcome(0.0, None, Failure("unsupported", message, hint), flags=flags)


def lost(error: DeviceError) -> Failure:
    """Return the failure that an error of the connection stands for."""
    kind: FailureKind = "device_lost" if isinstance(error, LOST) else "refused"
    return Failure(kind, error.message, error.hint or "")


def timed_out(request: RunRequest) -> Failure:
    """Return the failure of a run that took too long."""
    return Failure(
        "timed_out",
        f"the engine was not done after {request.timeout_s:g} s and was ended",
        "allow more time, or ask for fewer tokens",
    )


def not_on_gpu(why: tuple[str, str], log: str) -> Failure:
    """Return the failure of a run that was asked to use the GPU, in words of a known cause if any.

    Args:
        why: What `why_not_on_gpu` returned.
        log: What the engine wrote.
    """
    message, lines = why
    failure = Failure(
        "not_on_gpu",
        f"the GPU was asked for, but {message}",
        "run it with --delegate cpu, or see why in the log",
        lines,
    )
    return known_or(failure, log, "gpu")


def known_or(failure: Failure, log: str, delegate: str) -> Failure:
    """Return a known cause that the log of an engine that ended well shows, else the failure."""
    known = failure_of(log, exit_code=0, delegate=delegate)
    return failure if known.kind == "no_result" else known


def signatures_of(bundle: Bundle) -> int | None:
    """Return how many signatures a bundle has for prefill and decode, `None` if it does not tell.

    A log that does not name the graphs which a GPU took must tell of as many.
    """
    try:
        return len(read_dimensions(bundle).prefill_lens) + 1
    except EdgegenError:  # the engine says more about such a bundle
        return None


def checked_counts(
    found: Metrics, request: RunRequest, *, counts_told: bool = True
) -> tuple[Metrics | None, Failure | None]:
    """Return the metrics that were asked for, or why they do not count.

    A prompt of one token that an answer needs is not told of, nor the one token of an answer
    that a prompt needs.

    Args:
        found: What the engine told.
        request: What was asked of it.
        counts_told: Whether this engine always tells counts, so that one without them has none.
    """
    kept = _asked_for(found, request)
    asked = request.workload
    parts = (
        ("prefill", asked.prefill_tokens, kept.prefill_tokens, kept.prefill_tokens_per_s),
        ("decode", asked.decode_tokens, kept.decode_tokens, kept.decode_tokens_per_s),
    )
    wanted = [part for part in parts if part[1]]
    silent = [name for name, _, _, rate in wanted if rate is None]
    if silent:
        return None, Failure("no_result", _SILENT.format("a rate", " and ".join(silent)), _FORM)
    told = {name: getattr(kept, name) for name in _TIMES}
    impossible = [
        f"{name} {value}"
        for name, value in told.items()
        if value is not None and not (math.isfinite(value) and value > 0)
    ]
    if impossible:
        return None, Failure(
            "no_result",
            f"the engine told a time or rate that cannot be: {', '.join(impossible)}",
            "run the benchmark again; the log is kept beside the results",
        )
    uncounted = [name for name, _, count, _ in wanted if count is None]
    if uncounted and counts_told:
        message = _SILENT.format("the number of tokens", " and ".join(uncounted))
        return None, Failure("no_result", message, _FORM)
    counted = [part for part in wanted if part[2] is not None]
    if any(count != number for _, number, count, _ in counted):
        ran = " and ".join(f"{count} {name}" for name, _, count, _ in counted)
        expected = " and ".join(str(number) for _, number, _, _ in counted)
        return None, Failure(
            "wrong_counts",
            f"the engine ran {ran} tokens, expected {expected}",
            "ask for fewer tokens: prompt and answer must fit the KV cache, and a stop token "
            "ends the answer early",
        )
    return kept, None


def untold_counts(found: Metrics | None, request: RunRequest) -> dict[str, str]:
    """Return the counts that a run of an old engine lacks, for `RunOutcome.missing`."""
    if found is None:
        return {}
    wanted = {
        "prefill_tokens": (request.workload.prefill_tokens, found.prefill_tokens),
        "decode_tokens": (request.workload.decode_tokens, found.decode_tokens),
    }
    why = "this release of the engine does not tell how many tokens it ran"
    return {name: why for name, (asked, count) in wanted.items() if asked and count is None}


def _asked_for(found: Metrics, request: RunRequest) -> Metrics:
    """Return the metrics without what was run only because the engine wants it."""
    asked, dropped = request.workload, []
    if not asked.prefill_tokens:
        dropped += ["prefill_tokens", "prefill_tokens_per_s"]
    if not asked.decode_tokens:
        dropped += ["decode_tokens", "decode_tokens_per_s"]
    if not (asked.prefill_tokens and asked.decode_tokens) or asked.depth:
        dropped.append("ttft_ms")
    return dataclasses.replace(found, **dict.fromkeys(dropped))  # type: ignore[arg-type]
