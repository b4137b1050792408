"""A runner that does what a test says, and cells that need no bundle."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from edgegen.bundle.contents import Bundle
from edgegen.device.bench.cell import Cell
from edgegen.device.bench.record import BundleFacts, Conditions, EngineFacts, Failure, Metrics
from edgegen.device.bench.workload import parse_workload
from edgegen.device.runners import RunnerOptions
from edgegen.device.runners.interface import RunOutcome, RunRequest

GOOD = RunOutcome(1.0, Metrics(10.0, 2.0, 64, 100.0, 32, 20.0), None, log="a log", samples_csv="")


def failed(kind: str, message: str = "why") -> RunOutcome:
    return RunOutcome(1.0, None, Failure(kind, message, "do this"))  # type: ignore[arg-type]


def cell(label: str = "a", *, device: str = "host", test: str = "pp64+tg32", **more: Any) -> Cell:
    facts = BundleFacts(f"{label}.task", "0" * 64, 9, kv_cache_len=512, prefill_lens=(16, 128))
    bundle: Any = Path(f"{label}.task")
    return Cell(label, bundle, facts, device, "host", "cpu", parse_workload(test), **more)


@dataclass
class ScriptedRunner:
    """Answers with `outcome(request, number)`; `calls` tells all that was asked of it."""

    outcome: Callable[[RunRequest, int], RunOutcome] = lambda request, number: GOOD
    state: Callable[[], Conditions] = Conditions
    calls: list[str] = field(default_factory=list)
    runs: int = 0

    def prepare(self, bundle: Bundle) -> None:
        self.calls.append(f"prepare {bundle}")

    def device(self) -> Mapping[str, Any]:
        return {"serial": "scripted", "model": "Board 1"}

    def engine(self) -> EngineFacts:
        return EngineFacts("host", "engine", "1.0")

    def conditions(self) -> Conditions:
        return self.state()

    def memory_bytes_per_s(self) -> tuple[float, str] | None:
        return 1e9, "by copying"

    def drop_caches(self) -> None:
        self.calls.append("drop")

    def run(self, request: RunRequest) -> RunOutcome:
        self.calls.append(f"run {request.bundle}")
        self.runs += 1
        return self.outcome(request, self.runs)

    def close(self) -> None:
        self.calls.append("close")

    def __enter__(self) -> ScriptedRunner:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def opening(
    runners: Mapping[str, ScriptedRunner],
) -> Callable[[Cell, RunnerOptions], contextlib.AbstractContextManager[ScriptedRunner]]:
    """Return what opens the runner of a cell's device."""

    @contextlib.contextmanager
    def open_runner(cell: Cell, options: RunnerOptions) -> Iterator[ScriptedRunner]:
        with runners[cell.device] as runner:
            yield runner

    return open_runner


NEVER = threading.Event()
