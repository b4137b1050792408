"""What adb transports share: commands and files over services that a subclass opens."""

from __future__ import annotations

import contextlib
import re
import shlex
import threading
import time
from abc import abstractmethod
from collections.abc import Iterator
from typing import BinaryIO

from edgegen.device.transports import wire
from edgegen.device.transports.byte_stream import ByteStream
from edgegen.device.transports.failures import (
    CommandFailedError,
    DeviceFileError,
    NoRawInputError,
    file_failure,
)
from edgegen.device.transports.interface import (
    Advance,
    Command,
    FileStat,
    FolderEntry,
    ShellStream,
    Transport,
    checked,
    script,
    without_size,
)
from edgegen.device.transports.patience import Patience
from edgegen.device.transports.shell_protocol import Mark, RunningCommand
from edgegen.device.transports.sync_protocol import SyncSession
from edgegen.errors import DeviceError

_OPEN_S = 20.0
_LARGEST_V1 = 2**32 - 1
# Ends a command with what it has started, politely first. {0} is its process group.
_END = """
kill -TERM -{0} 2>/dev/null || kill -TERM {0} 2>/dev/null || exit 0
for wait in 1 2 3 4 5; do kill -0 -{0} 2>/dev/null || exit 0; sleep 0.1; done
kill -KILL -{0} 2>/dev/null || kill -KILL {0} 2>/dev/null
"""


class AdbTransport(Transport):
    """An Android device, or whatever else runs adbd.

    Attributes:
        features: What its adbd can do.
    """

    features: frozenset[str]

    @abstractmethod
    def _open(self, service: str, patience: Patience) -> ByteStream:
        """Start a service; `CommandFailedError` if the device refuses it."""

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
        with self._running(script(command), patience, stdin) as running:
            yield running

    @contextlib.contextmanager
    def _running(
        self,
        text: str,
        patience: Patience,
        stdin: BinaryIO | None = None,
        advance: Advance | None = None,
    ) -> Iterator[RunningCommand]:
        mark = Mark()
        framed = wire.SHELL_V2 in self.features
        terminal = False
        if framed:
            stream = self._open(f"shell,v2,raw:{mark.before(text)}", patience)
        else:
            around = mark.around(text, reads=stdin is not None)
            try:
                stream = self._open(f"exec:{around}", patience)
            except CommandFailedError as error:  # before Android 5
                if stdin is not None:  # a terminal would take some bytes for its own
                    raise NoRawInputError(self.serial) from error
                stream, terminal = self._open(f"shell:{around}", patience), True
        running = RunningCommand(
            stream,
            mark,
            patience,
            framed=framed,
            stdin=stdin,
            advance=advance,
            terminal=terminal,
        )
        try:
            running.start()
            yield running
        finally:
            stream.close()
            if not running.ended and running.process_id is not None:
                self._end(running.process_id)

    def _end(self, process_id: int) -> None:
        """End a command that still runs; adbd itself ends no more than its shell."""
        service = "shell,v2,raw:" if wire.SHELL_V2 in self.features else "shell:"
        with contextlib.suppress(DeviceError):  # the device may be gone, and the command with it
            patience = Patience(self.serial, timeout_s=5)
            stream = self._open(service + _END.format(process_id), patience)
            try:
                while stream.receive(patience) is not None:
                    pass
            finally:
                stream.close()

    def stat(self, path: str) -> FileStat | None:
        """Return what lies under a path; see `Transport.stat`."""
        with self._sync(timeout_s=self.silence_s) as session:
            found = session.stat(checked(path))
        if found is None or wire.STAT_V2 in self.features or not found.is_file:
            return found
        return self._whole_size(path, found)

    def _whole_size(self, path: str, found: FileStat) -> FileStat:
        """Ask a device that counts in 32 bits for the size in another way."""
        result = self.shell(("wc", "-c", path), timeout_s=self.silence_s)
        counted = result.text.split()
        if result.exit_code == 0 and counted and counted[0].isdecimal():
            return FileStat(found.mode, int(counted[0]), found.mtime)
        return without_size(found)

    def list(self, path: str) -> list[FolderEntry]:
        """Return what a folder holds; see `Transport.list`."""
        with self._sync(timeout_s=self.silence_s) as session:
            entries = sorted(session.list(checked(path)), key=lambda entry: entry.name)
        if not entries:  # adbd says as much of a folder that is not there
            found = self.stat(path.rstrip("/") + "/.")
            if found is None or not found.is_folder:
                raise DeviceFileError(self.serial, path, "no folder that can be read")
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
        time_ = int(time.time()) if mtime is None else mtime
        with self._sync(cancel=cancel) as session:
            return session.send(source, checked(path), mode, time_, advance)

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
        """Write into a file; see `Transport.write_at`.

        By `dd`, since adbd removes a file whose transfer by `sync:` breaks off.
        """
        name = shlex.quote(checked(path))
        text = f"dd of={name} bs=1048576 seek={block} conv=notrunc,fsync"
        if wire.SHELL_V2 not in self.features:  # nothing there tells the end of what it reads
            text = f"head -c {size} | {text}"
        patience = Patience(self.serial, silence_s=self.silence_s, cancel=cancel)
        said = bytearray()
        with self._running(text, patience, source, advance) as running:
            patience.allow_silence(max(self.flush_s, self.silence_s))
            for output in running:
                said = (said + output.data)[-4096:]
            if running.exit_code != 0:
                raise file_failure(self.serial, path, _last_words(bytes(said)))

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
        if limit is None:
            limit = self._size(path)
        with self._sync(cancel=cancel) as session:
            return session.receive(checked(path), sink, limit, advance)

    def _size(self, path: str) -> int:
        with self._sync(timeout_s=self.silence_s) as session:
            found = session.stat(checked(path))
        if found is None:
            raise DeviceFileError(self.serial, path, "no such file")
        if found.is_link:
            return _LARGEST_V1**2  # of what it points to nothing is known
        if not found.is_file:
            raise DeviceFileError(self.serial, path, "no ordinary file")
        if wire.STAT_V2 not in self.features:
            found = self._whole_size(path, found)
        return _LARGEST_V1**2 if found.size is None else found.size

    @contextlib.contextmanager
    def _sync(
        self, *, timeout_s: float | None = None, cancel: threading.Event | None = None
    ) -> Iterator[SyncSession]:
        patience = Patience(
            self.serial, timeout_s=timeout_s, silence_s=self.silence_s, cancel=cancel
        )
        stream = self._open("sync:", patience)
        try:
            yield SyncSession(stream, self.features, patience)
        finally:
            stream.close()


def _last_words(said: bytes) -> str:
    """Return the line in which `dd` complains, without its own name before it."""
    lines = [line for line in said.decode("utf-8", "replace").splitlines() if line.strip()]
    complaints = [line for line in lines if not re.match(r"\d+(\+\d+ records| bytes) ", line)]
    return (complaints or ["dd said nothing"])[0].removeprefix("dd: ")
