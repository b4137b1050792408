"""What the runners of devices share: folders there, pushing, one sampled run, and what is left."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import posixpath
import shlex
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

from edgegen.bundle.contents import Bundle
from edgegen.device.bench.record import (
    Conditions,
    DelegationFacts,
    EngineFacts,
    Failure,
    Memory,
    Metrics,
)
from edgegen.device.description import DEFAULT_FOLDER, describe_device
from edgegen.device.push import Target, push
from edgegen.device.runners.device_files import file_sha256
from edgegen.device.runners.device_log import device_time, read_logcat, read_tombstone
from edgegen.device.runners.interface import RunOutcome, RunRequest
from edgegen.device.runners.options import RunnerOptions
from edgegen.device.runners.outcomes import Ran, lost, streamed, timed_out
from edgegen.device.transports.failures import CancelledError
from edgegen.device.transports.interface import Transport
from edgegen.errors import DeviceError

if TYPE_CHECKING:
    from edgegen.device.sampling import Series

_SCRIPT, _CSV, _PID = "run.sh", "run.csv", "run.pid"
_WATCH_S = 0.2
_CSV_BYTES = 32 * 1024**2
_FILE_BYTES = 4 * 1024**2
_NO_SAMPLES = f"the file of samples is not there, or larger than {_CSV_BYTES // 1024**2} MiB"


class OnDevice:
    """A runner of a device; subclasses say what is run.

    Args:
        transport: The device; it is not closed here.
        options: What the user said.
    """

    def __init__(self, transport: Transport, options: RunnerOptions) -> None:
        self.transport, self.options = transport, options
        self._folder = options.folder
        self._bundles: dict[Path, str] = {}
        self._cold = False
        self._began: str | None = None
        self._used = False

    @property
    def folder(self) -> str:
        """The folder of the device that bundles and engines are pushed to.

        Raises:
            DeviceError: the device cannot be reached, or tells of no home.
        """
        if self._folder is None:
            said = self.transport.shell(
                'v=$(getprop ro.build.version.sdk 2>/dev/null); echo "$v"; echo "$HOME"',
                timeout_s=self.transport.silence_s,
            ).text.splitlines()
            if said and said[0].strip():
                self._folder = DEFAULT_FOLDER
            elif len(said) > 1 and said[1].startswith("/") and said[1].strip("/"):
                self._folder = f"{said[1].rstrip('/')}/.cache/edgegen"
            else:
                raise DeviceError(
                    f"{self.transport.serial} is no Android device and tells of no home folder",
                    "set HOME there to a folder that can be written",
                )
        return self._folder

    @property
    def work(self) -> str:
        """The folder for this benchmark alone, which `close` removes."""
        return f"{self.folder}/bench"

    def device(self) -> Mapping[str, Any]:
        """Return facts about the device."""
        return describe_device(self.transport, self.folder).as_dict()

    def conditions(self) -> Conditions:
        """Return the device's state now."""
        from edgegen.device.sampling import conditions_of

        return conditions_of(self.transport)

    def memory_bytes_per_s(self) -> tuple[float, str] | None:
        """Measure how fast the device copies large blocks of memory."""
        from edgegen.device.sampling import copy_rate

        return copy_rate(self.transport)

    def engine(self) -> EngineFacts:
        """Return facts about the engine."""
        raise NotImplementedError

    def prepare(self, bundle: Bundle) -> None:
        """Push the bundle; subclasses push their engine, too."""
        self.push_bundle(bundle)

    def run(self, request: RunRequest) -> RunOutcome:
        """Run the engine once."""
        raise NotImplementedError

    def drop_caches(self) -> None:
        """Have the next run find nothing that the engine prepared."""
        self._cold = True

    def close(self) -> None:
        """Remove the folder of this benchmark; a device that is gone keeps it."""
        if self._used:
            with contextlib.suppress(DeviceError):
                self.transport.run(("rm", "-rf", self.work))
            self._used = False

    def __enter__(self) -> OnDevice:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def push_bundle(self, bundle: Bundle) -> str:
        """Push a bundle, unless it is there; return its path on the device.

        It lies in a folder named by its content, so that bundles of one name do not take each
        other's place.
        """
        key = bundle.path.absolute()
        if key not in self._bundles:
            name = file_sha256(bundle.path)[:16]
            folder = f"{self.folder}/bundles/{name}"
            self.push_files([bundle.path], folder, mode=0o644)
            self._bundles[key] = f"{folder}/{bundle.path.name}"
        return self._bundles[key]

    def push_files(self, files: Sequence[Path], folder: str, *, mode: int) -> None:
        """Push files.

        Raises:
            DeviceError: it failed.
        """
        with self._cancellable() as target:
            [result] = push(files, [target], folder=folder, mode=mode).values()
        if result.error is not None:
            raise result.error

    @contextlib.contextmanager
    def _cancellable(self) -> Iterator[Target]:
        """Yield the device for a push that ends when the user's `cancel` is set."""
        asked, done = self.options.cancel, threading.Event()

        def connect(cancel: threading.Event) -> Transport:
            def watch() -> None:
                while asked is not None and not done.is_set():
                    if asked.wait(_WATCH_S):
                        cancel.set()
                        return

            if asked is not None and asked.is_set():
                cancel.set()
            threading.Thread(target=watch, name="cancel", daemon=True).start()
            # Not to be closed with the push.
            return cast(Transport, contextlib.nullcontext(self.transport))

        try:
            yield Target(self.transport.serial, connect)
        finally:
            done.set()

    def write(self, path: str, content: bytes, mode: int = 0o644) -> None:
        """Write a small file on the device."""
        self.transport.push(io.BytesIO(content), path, mode=mode)

    def link(self, request: RunRequest) -> str:
        """Return the path, within `work`, of a link to the bundle in a folder of its own.

        The engine keeps what it prepares beside the path that it is given, so each bundle and way
        of computing has its own. After `drop_caches` that folder is emptied first.
        """
        source = self.push_bundle(request.bundle)
        key = posixpath.basename(posixpath.dirname(source))
        folder = f"{self.work}/{key}-{request.delegate}-{request.activations or 'auto'}"
        target = f"{folder}/{posixpath.basename(source)}"
        words = [f"rm -rf {shlex.quote(folder)}"] if self._cold else []
        words += [
            f"mkdir -p {shlex.quote(folder)}",
            f"[ -e {shlex.quote(target)} ] || ln -s {shlex.quote(source)} {shlex.quote(target)} || "
            f"ln {shlex.quote(source)} {shlex.quote(target)}",
        ]
        self._used = True
        self.transport.run(" && ".join(f"{{ {word}; }}" for word in words))
        self._cold = False
        return target.removeprefix(f"{self.work}/")

    def execute(self, command: str, request: RunRequest, *, fetch: Sequence[str] = ()) -> Ran:
        """Run a command with the sampler beside it, and fetch what it leaves.

        Args:
            command: For the device's `sh`, run in `work`; it ends in `exec`.
            request: How long, and how often to sample.
            fetch: Names of files in `work` that it may leave.

        Raises:
            CancelledError: `request.cancel` was set.
        """
        from edgegen.device.sampling import sampling_script
        from edgegen.device.sampling.script import TIMED_OUT

        # Relative paths, so that the script is the same whatever the folder is.
        text = sampling_script(
            f"exec sh -c {shlex.quote(f'echo $$ >{_PID}; {command}')}",
            csv_path=_CSV,
            interval_s=request.sample_interval_s,
            timeout_s=request.timeout_s,
        )
        try:
            self._used = True
            self.transport.make_folder(self.work)
            names = (_CSV, _PID, *fetch)
            self.transport.run(("rm", "-f", *(f"{self.work}/{name}" for name in names)))
            self.write(f"{self.work}/{_SCRIPT}", text.encode())
            self._began = device_time(self.transport)
        except CancelledError:
            raise
        except DeviceError as error:
            return Ran(0.0, None, "", failure=lost(error))
        start = f"cd {shlex.quote(self.work)} && exec sh {_SCRIPT}"
        ran = streamed(self.transport, start, request)
        if ran.failure is not None:
            return ran
        try:
            files = {name: data for name in fetch if (data := self.fetched(name)) is not None}
            samples = self.fetched(_CSV, _CSV_BYTES)
            csv = (samples or b"").decode("utf-8", "replace")
            pid = (self.fetched(_PID) or b"").strip()
        except CancelledError:
            raise
        except DeviceError as error:
            return dataclasses.replace(ran, failure=lost(error))
        series = _series(csv)
        # Its exit code tells of it as well, where the samples do not tell how it ended.
        late = series.timed_out or (ran.exit_code == TIMED_OUT and not series.whole)
        ended = timed_out(request) if late else None
        missing = {"samples": _NO_SAMPLES} if samples is None else {}
        number = int(pid) if pid.isdigit() and len(pid) < 10 else None
        return dataclasses.replace(
            ran, csv=csv, files=files, pid=number, failure=ended, missing=missing
        )

    def fetched(self, name: str, limit: int = _FILE_BYTES) -> bytes | None:
        """Return a file of `work`, `None` if it is not there or larger than `limit`."""
        path = f"{self.work}/{name}"
        found = self.transport.stat(path)
        if found is None or not found.is_file or (found.size or 0) > limit:
            return None
        sink = io.BytesIO()
        self.transport.pull(path, sink, limit=limit)
        return sink.getvalue()

    def logcat(self) -> str:
        """Return Android's log since the last run began; empty where there is none."""
        return read_logcat(self.transport, self._began)

    def tombstone(self) -> str:
        """Return the dump of a crash since the last run began, where commands may read it."""
        return read_tombstone(self.transport, f"{self.work}/{_SCRIPT}")

    def outcome(
        self,
        ran: Ran,
        metrics: Metrics | None,
        failure: Failure | None,
        *,
        flags: tuple[str, ...],
        memory: Memory | None = None,
        delegations: tuple[DelegationFacts, ...] = (),
        gpu_adapter: str | None = None,
        missing: Mapping[str, str] | None = None,
    ) -> RunOutcome:
        """Return what became of a run, with its samples."""
        from edgegen.device.sampling import joules_of, memory_of, missing_of

        series = _series(ran.csv)
        sampled = memory_of(series)
        if memory is not None:  # what the engine itself measured, where the sampler did not
            lacking = {
                field.name: getattr(memory, field.name)
                for field in dataclasses.fields(memory)
                if getattr(sampled, field.name) is None
            }
            sampled = dataclasses.replace(sampled, **lacking)
        return RunOutcome(
            wall_s=ran.wall_s,
            metrics=None if failure else metrics,
            failure=failure,
            memory=sampled,
            delegations=delegations,
            gpu_adapter=gpu_adapter,
            flags=flags,
            samples_csv=ran.csv,
            joules=joules_of(series),
            missing={**missing_of(series), **ran.missing, **(missing or {})},
            log=ran.log,
        )


def _series(csv: str) -> Series:
    from edgegen.device.sampling import read_series

    return read_series(csv)
