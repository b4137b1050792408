"""This machine as a device: a Linux board that edgegen runs on, or a test."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import stat
import subprocess
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import IO, BinaryIO

from edgegen.device.transports.failures import (
    CancelledError,
    CommandFailedError,
    DeviceFileError,
    EndlessOutputError,
    file_failure,
)
from edgegen.device.transports.interface import (
    Advance,
    Command,
    FileStat,
    FolderEntry,
    ShellOutput,
    ShellStream,
    Transport,
    checked,
    script,
)
from edgegen.device.transports.patience import Patience

SERIAL = "local"
_PIECE = 1024 * 1024
_END_S = 1.0  # for a command to end when it is asked to


class Local(Transport):
    """This machine."""

    name = "local"
    serial = SERIAL

    @contextlib.contextmanager
    def stream(
        self,
        command: Command,
        *,
        stdin: BinaryIO | None = None,
        timeout_s: float | None = None,
        silence_s: float | None = None,
        cancel: threading.Event | None = None,
    ) -> Iterator[ShellStream]:
        """Run a command; see `Transport.stream`."""
        patience = Patience(self.serial, timeout_s=timeout_s, silence_s=silence_s, cancel=cancel)
        with subprocess.Popen(
            ["sh", "-c", script(command)],
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # so that it can be ended with all that it has started
        ) as process:
            running = _LocalCommand(process, stdin, patience)
            try:
                with running:
                    yield running
            finally:
                if not running.ended:
                    _end(process)

    def stat(self, path: str, *, cancel: threading.Event | None = None) -> FileStat | None:
        """Return what lies under a path; see `Transport.stat`."""
        try:
            found = os.lstat(checked(path))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise file_failure(self.serial, path, error.strerror or "", reading=True) from error
        return FileStat(found.st_mode, found.st_size, int(found.st_mtime))

    def list(self, path: str, *, cancel: threading.Event | None = None) -> list[FolderEntry]:
        """Return what a folder holds; see `Transport.list`."""
        entries = []
        try:
            for entry in sorted(Path(checked(path)).iterdir()):
                found = self.stat(str(entry))
                if found is not None:  # else it went meanwhile
                    entries.append(FolderEntry(entry.name, found))
        except OSError as error:
            raise DeviceFileError(self.serial, path, "no folder that can be read") from error
        return entries

    def push(
        self,
        source: BinaryIO,
        path: str,
        *,
        mode: int = 0o644,
        mtime: int | None = None,
        advance: Advance | None = None,
        cancel: threading.Event | None = None,
    ) -> int:
        """Write a file; see `Transport.push`."""
        target = Path(checked(path))
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix=".push-", dir=target.parent)
        except OSError as error:
            raise file_failure(self.serial, path, error.strerror or "") from error
        try:
            with os.fdopen(handle, "wb", buffering=0) as sink:
                count = self._copy(source, sink, path, None, advance, cancel)
                os.fchmod(sink.fileno(), mode & 0o777)
            time_ = time.time() if mtime is None else mtime
            os.utime(name, (time_, time_))
            os.replace(name, target)  # noqa: PTH105
        except OSError as error:
            raise file_failure(self.serial, path, error.strerror or "") from error
        finally:
            with contextlib.suppress(OSError):
                os.unlink(name)  # noqa: PTH108
        return count

    def write_at(
        self,
        source: BinaryIO,
        path: str,
        *,
        block: int,
        size: int,
        advance: Advance | None = None,
        cancel: threading.Event | None = None,
    ) -> None:
        """Write into a file; see `Transport.write_at`."""
        try:
            create = 0 if block else os.O_CREAT
            handle = os.open(checked(path), os.O_WRONLY | create | os.O_CLOEXEC, 0o666)
            with os.fdopen(handle, "wb", buffering=0) as sink:
                if os.fstat(handle).st_size < block * 1024**2:
                    why = f"the first {block} MiB of the part file are no longer there"
                    raise DeviceFileError(self.serial, path, why)
                sink.seek(block * 1024**2)
                self._copy(source, sink, path, None, advance, cancel)
                os.fsync(sink.fileno())
        except OSError as error:
            raise file_failure(self.serial, path, error.strerror or "") from error

    def pull(
        self,
        path: str,
        sink: BinaryIO,
        *,
        limit: int | None = None,
        advance: Advance | None = None,
        cancel: threading.Event | None = None,
    ) -> int:
        """Read a file; see `Transport.pull`."""
        try:
            # Without waiting for somebody to write, should it be a pipe.
            handle = os.open(checked(path), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(handle, "rb", buffering=0) as source:
                found = os.fstat(source.fileno())
                if not stat.S_ISREG(found.st_mode):
                    raise DeviceFileError(self.serial, path, "no ordinary file")
                most = found.st_size if limit is None else limit
                return self._copy(source, sink, path, most, advance, cancel)
        except FileNotFoundError as error:
            raise DeviceFileError(self.serial, path, "no such file") from error
        except IsADirectoryError as error:
            raise DeviceFileError(self.serial, path, "no ordinary file") from error
        except OSError as error:
            why = error.strerror or str(error)
            raise file_failure(self.serial, path, why, reading=True) from error

    def remove(self, path: str, *, cancel: threading.Event | None = None) -> None:
        """Remove a file, if it is there."""
        try:
            Path(checked(path)).unlink(missing_ok=True)
        except OSError as error:
            raise file_failure(self.serial, path, error.strerror or "") from error

    def rename(self, path: str, target: str, *, cancel: threading.Event | None = None) -> None:
        """Give a file another name."""
        try:
            Path(checked(path)).replace(checked(target))
        except OSError as error:
            raise file_failure(self.serial, target, error.strerror or "") from error

    def make_folder(self, path: str, *, cancel: threading.Event | None = None) -> None:
        """Make a folder, and those above it."""
        try:
            Path(checked(path)).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise file_failure(self.serial, path, error.strerror or "") from error

    def close(self) -> None:
        """Do nothing: nothing is open."""

    def _copy(
        self,
        source: BinaryIO | IO[bytes],
        sink: BinaryIO | IO[bytes],
        path: str,
        limit: int | None,
        advance: Advance | None,
        cancel: threading.Event | None,
    ) -> int:
        buffer = memoryview(bytearray(_PIECE))
        total = 0
        while count := source.readinto(buffer):  # type: ignore[union-attr]
            if cancel is not None and cancel.is_set():
                raise CancelledError(self.serial)
            total += count
            if limit is not None and total > limit:
                raise EndlessOutputError(self.serial, path, limit)
            left = buffer[:count]
            while left:  # a raw file may take less, on a disk that becomes full
                left = left[sink.write(left) :]
            if advance is not None:
                advance(count)
        return total


class _LocalCommand(ShellStream):
    """Feeds a process, and reads what it writes."""

    def __init__(
        self, process: subprocess.Popen[bytes], stdin: BinaryIO | None, patience: Patience
    ) -> None:
        self._process, self._source, self._patience = process, stdin, patience
        self._left = memoryview(b"")
        self._ready: deque[ShellOutput] = deque()
        self._selector = selectors.DefaultSelector()
        self.ended = False  # orderly: what it left in the background was meant to stay

    def __enter__(self) -> _LocalCommand:
        process = self._process
        for pipe, name in ((process.stdout, "stdout"), (process.stderr, "stderr")):
            assert pipe is not None
            self._selector.register(pipe, selectors.EVENT_READ, name)
        if process.stdin is not None:
            os.set_blocking(process.stdin.fileno(), False)
            self._selector.register(process.stdin, selectors.EVENT_WRITE, "stdin")
        return self

    def __exit__(self, *_: object) -> None:
        self._selector.close()

    def __next__(self) -> ShellOutput:
        while not self._ready:
            if not self._selector.get_map():
                self._wait()
                self.ended = True
                raise StopIteration
            for key, _ in self._selector.select(self._patience.wait_s()):
                self._patience.heard()
                if key.data == "stdin":
                    self._feed(key.fd)
                elif data := os.read(key.fd, _PIECE):
                    self._ready.append(ShellOutput(key.data, data))
                else:
                    self._selector.unregister(key.fileobj)
        return self._ready.popleft()

    @property
    def exit_code(self) -> int:
        """The status; 128 + N if signal N ended the command, as a shell has it."""
        code = self._process.poll()
        if code is None:
            raise CommandFailedError(SERIAL, "the command", None, "")
        return code if code >= 0 else 128 - code

    def _wait(self) -> None:
        while self._process.poll() is None:  # it closed its output and goes on
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(self._patience.wait_s())

    def _feed(self, pipe: int) -> None:
        assert self._source is not None
        if not self._left:
            self._left = memoryview(self._source.read(65536))
        try:
            if self._left:
                self._left = self._left[os.write(pipe, self._left) :]
                return
        except BlockingIOError:
            return
        except BrokenPipeError:
            pass  # it has ended, or wants no more
        assert self._process.stdin is not None
        self._selector.unregister(self._process.stdin)
        self._process.stdin.close()


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and all of its group, politely first; it may be gone before its children."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        end = time.monotonic() + _END_S
        try:
            os.killpg(process.pid, number)
            while time.monotonic() < end:
                process.poll()  # what has ended must not be found below
                os.killpg(process.pid, 0)
                time.sleep(0.01)
        except (ProcessLookupError, PermissionError):
            break
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_END_S)
