"""What edgegen and its Android app say to each other: see `docs/reference/app-runner.md`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

from edgegen.device.bench.record import DelegationFacts, Failure, Memory, Metrics
from edgegen.device.runners.interface import RunRequest
from edgegen.errors import DeviceError

# Raised when a name or a meaning changes; new names alone do not raise it.
PROTOCOL = "edgegen.app-runner/1"
TAG = "edgegen.bench"
_MOST_BYTES = 64 * 1024**2
_LINE = re.compile(rf"{re.escape(TAG)} *: ?(\{{.{{1,4000}}\}})\s*$", re.MULTILINE)


class ProtocolMismatch(DeviceError):
    """The app's result is not one that this version can read."""


@dataclass(frozen=True)
class AppRequest:
    """One run, as `request.json` has it.

    Attributes:
        protocol: `PROTOCOL`.
        id: Name of the request, and of its folder.
        bundle: Path of the bundle in the app's files.
        prefill_tokens: Prompt length; 0 if prefill is not measured.
        decode_tokens: Tokens to generate; 0 if decode is not measured.
        depth: Tokens that the KV cache holds before.
        delegate: `cpu` or `gpu`.
        threads: CPU threads, `None` for the engine's choice.
        activations: `f32`, `f16`, or `None` for the engine's choice.
        cpu_mask: CPUs to pin the measuring threads to.
        cold: Whether to remove what the engine prepared, first.
        timeout_s: End after that many seconds.
        sample_interval_s: Time between two samples.
    """

    protocol: str
    id: str
    bundle: str
    prefill_tokens: int
    decode_tokens: int
    depth: int
    delegate: str
    threads: int | None
    activations: str | None
    cpu_mask: int | None
    cold: bool
    timeout_s: float
    sample_interval_s: float

    FLAGS: ClassVar[tuple[str, ...]] = (
        "prefill_tokens",
        "decode_tokens",
        "depth",
        "delegate",
        "threads",
        "activations",
        "cpu_mask",
        "cold",
    )

    @classmethod
    def of(cls, request: RunRequest, name: str, bundle: str, *, cold: bool) -> AppRequest:
        """Return what stands for a run."""
        return cls(
            protocol=PROTOCOL,
            id=name,
            bundle=bundle,
            prefill_tokens=request.workload.prefill_tokens,
            decode_tokens=request.workload.decode_tokens,
            depth=request.workload.depth,
            delegate=request.delegate,
            threads=request.threads,
            activations=request.activations,
            cpu_mask=request.cpu_mask,
            cold=cold,
            timeout_s=request.timeout_s,
            sample_interval_s=request.sample_interval_s,
        )


@dataclass(frozen=True)
class AppResult:
    """One run, as `result.json` has it; its parts are those of `Record`.

    Attributes:
        protocol: `PROTOCOL`.
        id: The request's.
        wall_s: From opening the bundle to the end.
        way: By which of its loops the engine measured, such as `benchmark` or `session`: figures
            of two ways are not to be compared.
        metrics: What the engine told; `null` after a failure.
        failure: Why it told nothing that counts.
        memory: The highest values.
        delegations: Who computed what.
        gpu_adapter: The GPU that the engine chose.
        series: Samples over time, CSV text as of `edgegen.device.sampling`.
        missing: Sources that could not be read, each with its reason.
        log: What the engine wrote.
    """

    protocol: str
    id: str
    wall_s: float | None = None
    way: str | None = None
    metrics: Metrics | None = None
    failure: Failure | None = None
    memory: Memory = field(default_factory=Memory)
    delegations: tuple[DelegationFacts, ...] = ()
    gpu_adapter: str | None = None
    series: str = ""
    missing: Mapping[str, str] = field(default_factory=dict)
    log: str = ""


@dataclass(frozen=True)
class Progress:
    """A line of progress.

    Attributes:
        id: The request's.
        state: `started`, `opening`, `prefill`, `decode`, `done` or `failed`.
        pid: The app's process, told with `started`.
    """

    id: str
    state: str
    pid: int | None = None


def encode_request(request: AppRequest) -> bytes:
    """Return the text of `request.json`."""
    import msgspec

    return msgspec.json.encode(asdict(request))


def read_result(data: bytes, name: str) -> AppResult:
    """Return what `result.json` holds.

    Raises:
        ProtocolMismatch: it is none, of another version, or of another request.
    """
    import msgspec

    where = "docs/reference/app-runner.md says what it must be"
    if len(data) > _MOST_BYTES:
        raise ProtocolMismatch(f"the app's result has {len(data)} bytes", where)
    try:
        head = msgspec.json.decode(data, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ProtocolMismatch(f"the app's result is no JSON object: {error}", where) from error
    if head.get("protocol") != PROTOCOL:
        raise ProtocolMismatch(
            f"the app speaks {str(head.get('protocol'))[:60]!r}, expected '{PROTOCOL}'",
            "install the app of the same version as edgegen",
        )
    if head.get("id") != name:
        raise ProtocolMismatch(
            f"the app's result is that of the request {str(head.get('id'))[:60]!r}, "
            f"expected '{name}'",
            "run it again; one benchmark at a time can use the app",
        )
    try:
        found = msgspec.convert(head, AppResult)
    except msgspec.ValidationError as error:
        raise ProtocolMismatch(f"the app's result cannot be read: {error}", where) from error
    if found.metrics is not None and found.failure is not None:
        raise ProtocolMismatch("the app's result has metrics and a failure", where)
    return found


def progress_of(logcat: str, name: str) -> list[Progress]:
    """Return the lines of progress of a request; others are passed over."""
    import msgspec

    found = []
    for text in _LINE.findall(logcat):
        try:
            line = msgspec.json.decode(text, type=Progress)
        except (msgspec.MsgspecError, UnicodeError):
            continue
        if line.id == name:
            found.append(line)
    return found
