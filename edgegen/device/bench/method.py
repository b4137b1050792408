"""How cells are measured on one device: one run at a time, cold ones first, repeats interleaved.

A cell is run once with nothing prepared (`cold`), then `warmup` times, then kept repeats. Repeats
of several cells take turns in an order drawn by lot, so that a device which grows warm or busy
does so for all of them.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import Any

from edgegen import __version__
from edgegen.device.bench.bundle_facts import padded_tokens
from edgegen.device.bench.cell import Cell
from edgegen.device.bench.folder import RunFolder
from edgegen.device.bench.gate import Gate
from edgegen.device.bench.record import (
    SCHEMA,
    Conditions,
    Energy,
    EngineFacts,
    Failure,
    FailureKind,
    Phase,
    Record,
)
from edgegen.device.runners.interface import Runner, RunOutcome, RunRequest
from edgegen.device.runners.outcomes import LOST
from edgegen.device.transports.failures import CancelledError
from edgegen.errors import DeviceError, OutputError

# What says nothing of the cell, and may be over when the benchmark is run again: the same run is
# then tried anew.
TRANSIENT = frozenset(("device_lost", "too_hot", "missing"))
# What comes out the same however often it is tried.
FINAL = frozenset(("refused", "unsupported", "not_on_gpu", "wrong_counts", "no_result"))
LONGEST_S = 7 * 24 * 3600.0
_IN_A_ROW = 2  # runs that fail one after the other end a cell


@dataclass(frozen=True)
class Method:
    """How each cell is measured.

    Attributes:
        repeats: Runs that are kept, each of a fresh process.
        warmup: Runs before them that are not; at least one, which fills the engine's caches.
        cooldown_s: Rest before each run.
        max_celsius: A run does not begin while a zone is hotter.
        thermal_wait_s: Longest time to wait for a cool device.
        timeout_s: Longest time for a run.
        sample_interval_s: Time between two samples beside a run.
    """

    repeats: int = 5
    warmup: int = 1
    cooldown_s: float = 0.0
    max_celsius: float | None = None
    thermal_wait_s: float = 300.0
    timeout_s: float = 600.0
    sample_interval_s: float = 0.1

    def __post_init__(self) -> None:
        for name, least in (
            ("repeats", 1),
            ("warmup", 1),
            ("cooldown_s", 0),
            ("thermal_wait_s", 0),
        ):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)!r}, expected >= {least}")
        for name in ("timeout_s", "sample_interval_s"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is {getattr(self, name)!r}, expected > 0")
        for name in ("cooldown_s", "thermal_wait_s", "timeout_s", "sample_interval_s"):
            if not getattr(self, name) <= LONGEST_S:
                raise ValueError(f"{name} is {getattr(self, name)!r}, expected at most a week")

    @property
    def gate(self) -> Gate:
        """When a run may begin."""
        return Gate(self.cooldown_s, self.max_celsius, self.thermal_wait_s)


@dataclass
class Progress:
    """How far a cell has come, by its rows.

    Attributes:
        index: Number of its next run.
        cold: Whether the cold run is done.
        kept: Repeats that are done, failed ones included.
        ended: Whether it failed such that no repeat is worth its time.
    """

    index: int = 0
    cold: bool = False
    kept: int = 0
    ended: bool = False
    _failing: int = field(default=0, repr=False)
    _final: bool = field(default=False, repr=False)

    def add(self, phase: Phase, failure: Failure | None) -> None:
        """Count a row."""
        self.index += 1
        if failure is not None and failure.kind in TRANSIENT:
            return
        self.kept += phase == "kept"
        self.cold |= phase == "cold" and failure is None
        self._failing = 0 if failure is None else self._failing + 1
        if failure is not None and failure.kind in FINAL and phase != "kept":
            self._final = True
        self.ended = self._final or self._failing >= _IN_A_ROW

    def begin_session(self) -> None:
        """Try once more what an earlier session gave up, unless it would fail the same way."""
        if not self._final:
            self.ended, self._failing = False, 0

    def left(self, method: Method) -> int:
        """Return how many runs are to be done."""
        if self.ended or self.kept >= method.repeats:
            return 0
        # Caches do not outlive a session, so each warms up anew.
        return (not self.cold) + method.warmup + method.repeats - self.kept


def progress_of(cells: Iterable[Cell], records: Iterable[Record]) -> dict[str, Progress]:
    """Return how far each cell has come."""
    found = {cell.name: Progress() for cell in cells}
    for record in records:
        if record.cell in found:
            found[record.cell].add(record.phase, record.failure)
    for progress in found.values():
        progress.begin_session()
    return found


class DeviceBench:
    """Measures cells on one device.

    Attributes:
        notes: What a user should know, beside the rows.
    """

    def __init__(
        self,
        method: Method,
        folder: RunFolder,
        *,
        cancel: threading.Event,
        advance: Callable[[int], None] = lambda runs: None,
    ) -> None:
        self.method, self.folder = method, folder
        self.cancel, self.advance = cancel, advance
        self.notes: list[str] = []
        self._device: Mapping[str, Any] = {}
        self._engine: EngineFacts | None = None
        self._copied: tuple[float, str] | None = None
        self._missing: dict[str, str] = {}
        self._ran = False
        self._lost = 0  # one after the other
        self._set_aside: set[str] = set()  # for this session
        self._progress: dict[str, Progress] = {}

    def refuse(self, cells: Sequence[Cell], failure: Failure) -> None:
        """Write a row with that reason for each cell of which something is left."""
        self._progress = progress_of(cells, self.folder.records)
        for cell in cells:
            if self._left(cell):
                self._fail(cell, "cold", failure)

    def measure(self, runner: Runner, cells: Sequence[Cell]) -> None:
        """Run what is left of these cells; each run becomes a row.

        Raises:
            CancelledError: `cancel` was set.
        """
        self._runner = runner
        self._progress = progress_of(cells, self.folder.records)
        cells = [cell for cell in cells if self._progress[cell.name].left(self.method)]
        cells = [cell for cell in cells if self._usable(cell)]
        if not cells:
            return
        for cell, phase in self._order(cells):
            if self.cancel.is_set():
                raise CancelledError(cell.device)
            if self._lost >= _IN_A_ROW:
                self.notes.append(
                    f"{cell.device} is gone; the same command does what is left once it is back"
                )
                return
            self._run(cell, phase)

    def _order(self, cells: Sequence[Cell]) -> Iterator[tuple[Cell, Phase]]:
        """Yield what to run next; what has failed meanwhile is passed over."""
        for cell in cells:
            if not self._progress[cell.name].cold and self._left(cell):
                yield cell, "cold"
        for _ in range(self.method.warmup):
            for cell in cells:
                if self._left(cell):
                    yield cell, "warmup"
        for number in range(self.method.repeats):
            # By lot, the same each time: on a device that slows down steadily, whoever always
            # came second would be shown to be slower.
            order = list(cells)
            random.Random(number).shuffle(order)
            for cell in order:
                if self._left(cell) and self._progress[cell.name].kept <= number:
                    yield cell, "kept"

    def _left(self, cell: Cell) -> int:
        if cell.name in self._set_aside:
            return 0
        return self._progress[cell.name].left(self.method)

    def _usable(self, cell: Cell) -> bool:
        """Bring the cell's bundle to the device; a row tells if that cannot be."""
        failure = cell.misfit()
        if failure is None:
            try:
                self._runner.prepare(cell.bundle)
                self._look_around()
                return True
            except CancelledError:
                raise
            except DeviceError as error:
                failure = failure_of_device(error)
        self._fail(cell, "cold", failure)
        return False

    def _look_around(self) -> None:
        """Ask once what does not change."""
        if self._engine is None:
            self._device, engine = self._runner.device(), self._runner.engine()
            self._require_same(engine)
            self._copied = self._runner.memory_bytes_per_s()
            if self._copied is None:
                self._missing["memory_bytes_per_s"] = "the device's memory could not be measured"
            self._engine = engine

    def _require_same(self, engine: EngineFacts) -> None:
        """Refuse to go on with a benchmark whose rows another engine made."""
        for record in self.folder.records:
            there = record.engine
            if record.cell not in self._progress or record.failure is not None:
                continue
            if (there.version, there.files_sha256) != (engine.version, dict(engine.files_sha256)):
                raise OutputError(
                    f"rows in {self.folder.path} are of {_named(there)}, and this is "
                    f"{_named(engine)}",
                    "choose another folder, or use the same engine as before",
                )

    def _run(self, cell: Cell, phase: Phase) -> None:
        """Do one run, and write its row."""
        started = _now()
        before = Conditions()
        try:
            if phase == "cold":
                self._runner.drop_caches()
            gate = self.method.gate
            before, failure = gate.wait(self._runner.conditions, rest=self._ran, cancel=self.cancel)
            if self.cancel.is_set():
                raise CancelledError(cell.device)
            if failure is not None:
                self._fail(cell, phase, failure, before)
                return
            blind = gate.blind(before)
            started, self._ran = _now(), True
            outcome = self._runner.run(self._request(cell))
        except CancelledError:
            raise
        except DeviceError as error:
            self._fail(cell, phase, failure_of_device(error), before)
            return
        missing = {**self._missing, **outcome.missing, **({"thermal_gate": blind} if blind else {})}
        after = Conditions()
        if outcome.failure is None or outcome.failure.kind != "device_lost":
            try:
                after = self._runner.conditions()
            except CancelledError:
                raise
            except DeviceError as error:  # what was measured is measured
                missing["conditions_after"] = error.message
        self._add(cell, phase, started, outcome, merged(before, after, outcome), missing)

    def _request(self, cell: Cell) -> RunRequest:
        return RunRequest(
            bundle=cell.bundle,
            workload=cell.workload,
            delegate=cell.delegate,
            threads=cell.threads,
            activations=cell.activations,
            cpu_mask=cell.cpu_mask,
            timeout_s=self.method.timeout_s,
            sample_interval_s=self.method.sample_interval_s,
            cancel=self.cancel,
        )

    def _fail(
        self, cell: Cell, phase: Phase, failure: Failure, found: Conditions | None = None
    ) -> None:
        outcome = RunOutcome(0.0, None, failure)
        self._add(cell, phase, _now(), outcome, found or Conditions(), self._missing)

    def _add(
        self,
        cell: Cell,
        phase: Phase,
        started: str,
        outcome: RunOutcome,
        conditions: Conditions,
        missing: Mapping[str, str],
    ) -> None:
        progress, left = self._progress[cell.name], self._left(cell)
        name = f"{cell.name}-{progress.index}"
        engine = self._engine or EngineFacts(runner=cell.runner, name=cell.runner)
        joules = outcome.joules
        record = Record(
            schema=SCHEMA,
            run_id=self.folder.run_id,
            cell=cell.name,
            index=progress.index,
            phase=phase,
            started_at=started,
            wall_s=outcome.wall_s,
            edgegen_version=__version__,
            bundle=cell.facts,
            engine=replace(engine, gpu_adapter=outcome.gpu_adapter or engine.gpu_adapter),
            device=self._device or {"serial": cell.device},
            workload=cell.workload.name,
            prefill_tokens=cell.workload.prefill_tokens,
            decode_tokens=cell.workload.decode_tokens,
            depth=cell.workload.depth,
            prefill_padded_tokens=padded_tokens(
                cell.facts.prefill_lens, cell.workload.prefill_tokens
            ),
            delegate=cell.delegate,
            threads=cell.threads,
            activations=cell.activations,
            cpu_mask=cell.cpu_mask,
            flags=outcome.flags,
            delegations=outcome.delegations,
            metrics=outcome.metrics,
            memory=outcome.memory,
            conditions=conditions,
            energy=None if joules is None else _energy(joules, cell, outcome),
            memory_bytes_per_s=self._copied[0] if self._copied else None,
            memory_method=self._copied[1] if self._copied else None,
            missing=missing,
            failure=outcome.failure,
            log=self.folder.keep("logs", f"{name}.log", outcome.log),
            series=self.folder.keep("series", f"{name}.csv", outcome.samples_csv),
        )
        self.folder.append(record)
        progress.add(phase, outcome.failure)
        if outcome.failure is not None and outcome.failure.kind in TRANSIENT:
            self._set_aside.add(cell.name)
            self._lost = self._lost + 1 if outcome.failure.kind == "device_lost" else 0
        else:
            self._lost = 0
        self.advance(left - self._left(cell))


def failure_of_device(error: DeviceError) -> Failure:
    """Return the row's reason for an error of ours."""
    kind: FailureKind = "device_lost" if isinstance(error, LOST) else "missing"
    return Failure(kind, error.message, error.hint or "")


def _named(engine: EngineFacts) -> str:
    files = sorted(engine.files_sha256.values())
    told = f" (files {files[0][:12]})" if files else ""
    return f"{engine.name} {engine.version or 'of unknown version'}{told}"


def _energy(joules: tuple[float, str], cell: Cell, outcome: RunOutcome) -> Energy:
    # A run that failed may have computed any number of tokens.
    each = None if outcome.failure is not None else joules[0] / cell.workload.tokens
    return Energy(joules[0], each, joules[1])


def merged(before: Conditions, after: Conditions, outcome: RunOutcome) -> Conditions:
    """Put the device's states before and after a run together."""
    from edgegen.device.sampling import max_celsius, read_series

    hottest = max_celsius(read_series(outcome.samples_csv)) if outcome.samples_csv else None
    capped = [x for x in (before.cpu_max_khz_capped, after.cpu_max_khz_capped) if x is not None]
    seen = [
        celsius
        for celsius in (hottest, before.start_celsius, after.start_celsius)
        if celsius is not None
    ]
    return replace(
        before,
        thermal_status_after=after.thermal_status_before,
        max_celsius=max(seen, default=None),
        cpu_max_khz_capped=any(capped) if capped else None,
    )


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")
