"""Measuring a matrix: a thread for each device, rows into one folder."""

from __future__ import annotations

import contextlib
import secrets
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TypeVar

from edgegen import __version__
from edgegen.bundle.contents import Bundle
from edgegen.bundle.dimensions import read_dimensions
from edgegen.bundle.engine_types import Activations, Delegate
from edgegen.bundle.formats import open_bundle
from edgegen.device.bench.cell import Cell
from edgegen.device.bench.folder import RunFolder
from edgegen.device.bench.matrix import Matrix, cells_of, fitting_workload, plan_of
from edgegen.device.bench.method import DeviceBench, Method, failure_of_device, progress_of
from edgegen.device.bench.record import Record
from edgegen.device.bench.workload import Workload, parse_workload
from edgegen.device.runners import HOST, RunnerOptions, open_runner
from edgegen.device.runners.interface import Runner
from edgegen.device.transports import connect
from edgegen.device.transports.failures import CancelledError
from edgegen.errors import DeviceError
from edgegen.progress import Advance, stage

_Name = TypeVar("_Name", bound=str)
Open = Callable[[Cell, RunnerOptions], contextlib.AbstractContextManager[Runner]]


@dataclass(frozen=True)
class BenchResult:
    """What came of a benchmark.

    Attributes:
        run_id: Its name, in each record.
        records: All rows, those of earlier sessions in the same folder included.
        cells: The names of its cells, in order.
        resumed: How many rows were there before.
        notes: What a user should know.
    """

    run_id: str
    records: tuple[Record, ...]
    cells: tuple[str, ...]
    resumed: int = 0
    notes: tuple[str, ...] = field(default=())


def bench(
    bundle: str | Path | Bundle | Sequence[str | Path],
    *,
    device: str | Sequence[str] = HOST,
    runner: str | None = None,
    delegate: Delegate | Sequence[Delegate] = "cpu",
    tests: str | Sequence[str] = (),
    prefill_tokens: int | None = None,
    decode_tokens: int | None = None,
    repeats: int = 5,
    warmup: int = 1,
    threads: int | None = None,
    activations: Activations | None = None,
    cpu_mask: int | None = None,
    cooldown_s: float = 0.0,
    max_celsius: float | None = None,
    timeout_s: float = 600.0,
    engine_dir: str | Path | None = None,
    out: str | Path | None = None,
) -> list[Record]:
    """Measure bundles, each run in a fresh process of the engine, and return a record per run.

    A failed run is a record with its reason, and no exception. Reports the stage `bench` in runs.

    Args:
        bundle: A bundle, or several.
        device: `host`, a serial number, or several of them.
        runner: A key of `edgegen.device.runners.RUNNERS`, by default what fits the device.
        delegate: Who computes, `cpu` or `gpu` or both.
        tests: What to compute, such as `pp512+tg128@d1024`, or several.
        prefill_tokens: Prompt length where `tests` are left out; by default the longest prefill
            signature that leaves room for as many answer tokens.
        decode_tokens: Tokens to generate, likewise; by default 128 or what still fits.
        repeats: Runs that are kept.
        warmup: Runs before them that are not, at least one.
        threads: CPU threads, `None` for the engine's choice.
        activations: Precision between layers, `None` for the engine's choice.
        cpu_mask: CPUs to pin the engine to, as a bit mask.
        cooldown_s: Rest before each run.
        max_celsius: A run does not begin while a zone of the device is hotter.
        timeout_s: Longest time for a run.
        engine_dir: Folder with the engine's program, for runners that need one.
        out: Folder for rows, logs and series; what it holds already of the same benchmark is not
            run again.

    Raises:
        BundleError: a file is not a usable bundle.
        DeviceError: there is no such device or runner.
        EngineError: the counts do not fit the KV cache.
        OutputError: the folder holds another benchmark.
        ValueError: a count is below 1.
    """
    given = [bundle] if isinstance(bundle, (str, Path, Bundle)) else list(bundle)
    paths = [one.path if isinstance(one, Bundle) else Path(one) for one in given]
    names = [tests] if isinstance(tests, str) else list(tests)
    matrix = Matrix(
        bundles=tuple(paths),
        devices=_several(device),
        runner=runner,
        delegates=_several(delegate),
        tests=tuple(map(parse_workload, names)),
        threads=(threads,),
        activations=(activations,),
        cpu_masks=(cpu_mask,),
        engine_dir=None if engine_dir is None else Path(engine_dir),
        method=Method(
            repeats,
            warmup,
            cooldown_s=cooldown_s,
            max_celsius=max_celsius,
            timeout_s=timeout_s,
        ),
    )
    if not names and (prefill_tokens or decode_tokens):
        matrix = with_counts(matrix, prefill_tokens, decode_tokens)
    return list(run_matrix(matrix, out=None if out is None else Path(out)).records)


def with_counts(matrix: Matrix, prefill_tokens: int | None, decode_tokens: int | None) -> Matrix:
    """Add a test of these counts to a matrix; one that is missing is chosen to fit its bundles.

    Raises:
        EngineError: they do not fit the KV cache of a bundle.
    """
    if prefill_tokens and decode_tokens:
        chosen = Workload(prefill_tokens, decode_tokens)
    else:
        fitting = [
            fitting_workload(
                path, read_dimensions(open_bundle(path)), prefill_tokens, decode_tokens
            )
            for path in matrix.bundles
        ]
        chosen = Workload(
            min(one.prefill_tokens for one in fitting), min(one.decode_tokens for one in fitting)
        )
    return replace(matrix, tests=(chosen, *matrix.tests))


def run_matrix(
    matrix: Matrix, *, out: Path | None = None, open_with: Open | None = None
) -> BenchResult:
    """Measure what is left of a matrix. Reports the stage `bench` in runs.

    Args:
        matrix: What to measure.
        out: The folder; without one nothing is kept but the rows that are returned.
        open_with: In place of `open_runner`.

    Raises:
        EdgegenError: as `bench`.
        KeyboardInterrupt: the user asked to stop; engines have ended, rows are in the folder.
    """
    cells = cells_of(matrix)
    started = datetime.now(timezone.utc)
    plan = {
        "run_id": f"{started:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}",
        "started_at": started.isoformat(timespec="seconds"),
        "edgegen_version": __version__,
        **plan_of(matrix, cells),
    }
    with contextlib.ExitStack() as stack:
        path = out or Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="edgegen-bench-"))
        )
        folder = stack.enter_context(RunFolder(path, plan))
        resumed = len(folder.records)
        notes = list(folder.notes)
        progress = progress_of(cells, folder.records)
        left = sum(progress[cell.name].left(matrix.method) for cell in cells)
        if resumed:
            notes.append(f"{resumed} runs were in {path} already, {left} are left")
        with stage("bench", left, "runs") as advance:
            notes += _run_devices(matrix, cells, folder, advance, open_with or _open)
        records = tuple(folder.records)
    if out is None:  # the files are gone
        records = tuple(replace(record, log=None, series=None) for record in records)
    names = tuple(cell.name for cell in cells)
    return BenchResult(folder.run_id, records, names, resumed, tuple(notes))


def _run_devices(
    matrix: Matrix, cells: Sequence[Cell], folder: RunFolder, advance: Advance, open_with: Open
) -> list[str]:
    cancel = threading.Event()
    options = RunnerOptions(
        engine_dir=matrix.engine_dir, app=matrix.app, python=matrix.python, cancel=cancel
    )
    devices = list(dict.fromkeys(cell.device for cell in cells))
    notes: list[str] = []

    def run(device: str) -> None:
        own = [cell for cell in cells if cell.device == device]
        notes.extend(
            _run_device(
                own, matrix.method, folder, options, cancel, advance, open_with, len(devices) == 1
            )
        )

    with ThreadPoolExecutor(len(devices), thread_name_prefix="bench") as pool:
        # Each in a copy of our context, for stages within to be reported.
        futures: list[Future[None]] = [
            pool.submit(copy_context().run, run, device) for device in devices
        ]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
        finally:  # Ctrl-C reaches this thread alone
            if not all(future.done() and future.exception() is None for future in futures):
                cancel.set()
    errors = [error for future in futures if (error := future.exception()) is not None]
    for error in sorted(errors, key=lambda error: isinstance(error, CancelledError)):
        raise error
    return notes


def _run_device(
    cells: Sequence[Cell],
    method: Method,
    folder: RunFolder,
    options: RunnerOptions,
    cancel: threading.Event,
    advance: Advance,
    open_with: Open,
    alone: bool,
) -> list[str]:
    """Open a device's runner and measure its cells; return notes.

    A device that cannot be reached is an error if it is the only one, else a row in each cell.
    """
    measuring = DeviceBench(method, folder, cancel=cancel, advance=advance)
    with contextlib.ExitStack() as stack:
        try:
            runner = stack.enter_context(open_with(cells[0], options))
        except CancelledError:
            raise
        except DeviceError as error:
            if alone:
                raise
            measuring.refuse(cells, failure_of_device(error))
            return measuring.notes
        measuring.measure(runner, cells)
        return measuring.notes


@contextlib.contextmanager
def _open(cell: Cell, options: RunnerOptions) -> Iterator[Runner]:
    with contextlib.ExitStack() as stack:
        transport = None
        if cell.device != HOST:
            transport = stack.enter_context(connect(cell.device, cancel=options.cancel))
        yield stack.enter_context(open_runner(cell.runner, transport, options))


def _several(value: _Name | Sequence[_Name]) -> tuple[_Name, ...]:
    return (value,) if isinstance(value, str) else tuple(value)
