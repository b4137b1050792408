"""What adb transports share: commands and files over services that a subclass opens."""

from __future__ import annotations

import contextlib
import threading
import time
from abc import abstractmethod
from collections.abc import Iterator
from typing import BinaryIO

from edgegen.device.transports import wire
from edgegen.device.transports.byte_stream import ByteStream
from edgegen.device.transports.device_writer import (
    DeviceWriter,
    last_words,
    parse_probe,
    probe,
)
from edgegen.device.transports.failures import (
    CommandFailedError,
    DeviceFileError,
    EndlessOutputError,
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
    number,
    script,
    without_size,
)
from edgegen.device.transports.patience import Patience
from edgegen.device.transports.shell_protocol import Mark, RunningCommand
from edgegen.device.transports.sync_protocol import SyncSession
from edgegen.errors import DeviceError

_OPEN_S = 20.0
_UNKNOWN_SIZE = 2**40  # bytes to take of a file whose size nobody tells
_END_S = 2.0
_SAID_BYTES = 64 * 1024  # what a program that writes a file may have to say
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
    _found_writer: DeviceWriter | None = None

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
            patience = Patience(self.serial, timeout_s=_END_S)
            stream = self._open(service + _END.format(process_id), patience)
            try:
                while stream.receive(patience) is not None:
                    pass
            finally:
                stream.close()

    def stat(self, path: str, *, cancel: threading.Event | None = None) -> FileStat | None:
        """Return what lies under a path; see `Transport.stat`."""
        with self._sync(timeout_s=self.silence_s, cancel=cancel) as session:
            found = session.stat(checked(path))
        if found is None or wire.STAT_V2 in self.features or not found.is_file:
            return found
        return self._whole_size(path, found, cancel)

    def _whole_size(
        self, path: str, found: FileStat, cancel: threading.Event | None = None
    ) -> FileStat:
        """Ask a device that counts in 32 bits for the size in another way."""
        result = self.shell(("wc", "-c", path), timeout_s=self.silence_s, cancel=cancel)
        counted = result.text.split()
        size = number(counted[0]) if result.exit_code == 0 and counted else None
        return without_size(found) if size is None else FileStat(found.mode, size, found.mtime)

    def list(self, path: str, *, cancel: threading.Event | None = None) -> list[FolderEntry]:
        """Return what a folder holds; see `Transport.list`."""
        with self._sync(timeout_s=self.silence_s, cancel=cancel) as session:
            entries = sorted(session.list(checked(path)), key=lambda entry: entry.name)
        if not entries:  # adbd says as much of a folder that is not there
            found = self.stat(path.rstrip("/") + "/.", cancel=cancel)
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
        counted = wire.SHELL_V2 not in self.features  # nothing there tells the end of what it reads
        writer = self._writer(path, counted, cancel)
        text = (
            f"{writer.begin(path, block)}\n{writer.script(path, block, size if counted else None)}"
        )
        patience = Patience(self.serial, silence_s=self.silence_s, cancel=cancel)
        patience.expect_progress()
        said = bytearray()
        with self._running(text, patience, source, advance) as running:
            patience.finish_within(max(self.flush_s, self.silence_s))
            for output in running:
                said += output.data
                if len(said) > _SAID_BYTES:
                    what = "what it says of a file that it writes"
                    raise EndlessOutputError(self.serial, what, _SAID_BYTES)
            if running.exit_code != 0:
                raise file_failure(self.serial, path, last_words(bytes(said)))

    def _writer(self, path: str, counted: bool, cancel: threading.Event | None) -> DeviceWriter:
        """Find out how this device writes into a file; once, for that does not change."""
        if self._found_writer is None:
            said = self.shell(
                probe(checked(path), counted=counted), timeout_s=self.silence_s, cancel=cancel
            )
            found = parse_probe(said.text, counted=counted)
            if found is None:
                raise NoRawInputError(self.serial)
            if not found.certain:
                return found
            self._found_writer = found
        return self._found_writer

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
            limit = self._size(path, cancel)
        with self._sync(cancel=cancel) as session:
            return session.receive(checked(path), sink, limit, advance)

    def _size(self, path: str, cancel: threading.Event | None) -> int:
        with self._sync(timeout_s=self.silence_s, cancel=cancel) as session:
            found = session.stat(checked(path))
        if found is None:
            raise DeviceFileError(self.serial, path, "no such file")
        if found.is_link:
            return _UNKNOWN_SIZE  # of what it points to nothing is known
        if not found.is_file:
            raise DeviceFileError(self.serial, path, "no ordinary file")
        if wire.STAT_V2 not in self.features:
            found = self._whole_size(path, found, cancel)
        return _UNKNOWN_SIZE if found.size is None else found.size

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
