"""What a runner is: one way of running an engine on one device."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol

from edgegen.bundle.contents import Bundle
from edgegen.bundle.engine_types import Activations, Delegate
from edgegen.device.bench.record import (
    Conditions,
    DelegationFacts,
    EngineFacts,
    Failure,
    Memory,
    Metrics,
)
from edgegen.device.bench.workload import Workload


@dataclass(frozen=True)
class RunRequest:
    """One run of an engine.

    Attributes:
        bundle: The bundle on this machine; the runner has it on the device since `prepare`.
        workload: What to compute.
        delegate: Who computes.
        threads: CPU threads, `None` for the engine's choice.
        activations: Precision between layers, `None` for the engine's choice.
        cpu_mask: CPUs to pin the process to, as a bit mask.
        timeout_s: End the run after that many seconds.
        sample_interval_s: Time between two samples of memory, clocks and temperatures.
        cancel: Set from another thread, it ends the run.
    """

    bundle: Bundle
    workload: Workload
    delegate: Delegate = "cpu"
    threads: int | None = None
    activations: Activations | None = None
    cpu_mask: int | None = None
    timeout_s: float = 600.0
    sample_interval_s: float = 0.1
    cancel: threading.Event | None = None


@dataclass(frozen=True)
class RunOutcome:
    """What became of one run; exactly one of `metrics` and `failure` is there.

    Attributes:
        wall_s: From starting the engine's process to its end.
        metrics: What the engine told.
        failure: Why it told nothing that counts.
        memory: The highest values.
        delegations: Who computed what.
        gpu_adapter: The GPU that the engine chose.
        flags: The engine's command line, or what stands for it.
        samples_csv: The samples over time as CSV text with a header (`device/sampling/`).
        joules: Energy from start to end, with its source.
        missing: Sources that could not be read, each with its reason.
        log: All that the engine wrote.
    """

    wall_s: float
    metrics: Metrics | None
    failure: Failure | None
    memory: Memory = field(default_factory=Memory)
    delegations: tuple[DelegationFacts, ...] = ()
    gpu_adapter: str | None = None
    flags: tuple[str, ...] = ()
    samples_csv: str = ""
    joules: tuple[float, str] | None = None
    missing: Mapping[str, str] = field(default_factory=dict)
    log: str = ""

    def __post_init__(self) -> None:
        if (self.metrics is None) == (self.failure is None):
            raise ValueError("a run has either metrics or a failure")


class Runner(Protocol):
    """Runs one engine on one device. Errors of ours are raised; the engine's are outcomes."""

    def prepare(self, bundle: Bundle) -> None:
        """Bring bundle and engine to the device, if they are not there.

        Raises:
            DeviceError: the device or the engine cannot be used.
        """

    def device(self) -> Mapping[str, Any]:
        """Return facts about the device, as `DeviceDescription.as_dict`."""

    def engine(self) -> EngineFacts:
        """Return facts about the engine."""

    def conditions(self) -> Conditions:
        """Return the device's state now, in the fields named `…_before` and `start_celsius`."""

    def memory_bytes_per_s(self) -> tuple[float, str] | None:
        """Measure how fast the device copies large blocks of memory.

        Returns:
            Bytes per second and the method, in words; `None` where it cannot be measured. With
            Python on the device bytes read plus bytes written count; `dd` elsewhere counts bytes
            read alone, and is a lower bound. The words say which.
        """

    def drop_caches(self) -> None:
        """Remove weights and programs that the engine prepared, so that the next run is cold."""

    def run(self, request: RunRequest) -> RunOutcome:
        """Run the engine once, in a fresh process.

        Raises:
            CancelledError: `request.cancel` was set; the engine has ended.
            DeviceError: never for what the engine does; `DeviceLostError`-like failures of the
                connection are outcomes of the kind `device_lost`, too.
        """

    def close(self) -> None:
        """Remove what was made on the device for this benchmark alone."""

    def __enter__(self) -> Runner:
        """Use it in a `with` block."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""
