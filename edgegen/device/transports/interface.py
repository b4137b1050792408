"""What every way to a device can do: run commands, and move, name and remove files."""

from __future__ import annotations

import re
import shlex
import stat
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from types import TracebackType
from typing import BinaryIO, Literal

from edgegen.device.transports.failures import (
    CommandFailedError,
    EndlessOutputError,
    PathRefusedError,
    file_failure,
)

Advance = Callable[[int], None]
# A script for the device's `sh`, or words that are quoted for it.
Command = str | Sequence[str]

OUTPUT_LIMIT = 16 * 1024**2
SILENCE_S = 30.0
FLUSH_S = 300.0
PATH_BYTES = 1024  # adbd takes no longer ones


@dataclass(frozen=True)
class FileStat:
    """What lies under a path. Links are not followed.

    Attributes:
        mode: Type and permissions, as in `stat.S_ISREG(mode)`.
        size: In bytes; `None` where an old device could not say, since it counts in 32 bits.
        mtime: Seconds since 1970.
    """

    mode: int
    size: int | None
    mtime: int

    @property
    def is_file(self) -> bool:
        """Whether it is an ordinary file."""
        return stat.S_ISREG(self.mode)

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return stat.S_ISDIR(self.mode)

    @property
    def is_link(self) -> bool:
        """Whether it is a symbolic link."""
        return stat.S_ISLNK(self.mode)


@dataclass(frozen=True)
class FolderEntry:
    """One name in a folder."""

    name: str
    stat: FileStat


@dataclass(frozen=True)
class ShellOutput:
    """Some bytes that a command wrote."""

    stream: Literal["stdout", "stderr"]
    data: bytes


@dataclass(frozen=True)
class ShellResult:
    """A command that has ended.

    Attributes:
        exit_code: Its status.
        stdout: What it wrote.
        stderr: What it wrote as errors; empty where the device cannot tell the two apart.
        merged: Whether that is so, and `stdout` holds both (Android 6 and older).
    """

    exit_code: int
    stdout: bytes
    stderr: bytes
    merged: bool = False

    @property
    def text(self) -> str:
        """`stdout` as text."""
        return self.stdout.decode("utf-8", "backslashreplace")


class ShellStream(Iterator[ShellOutput]):
    """A command that runs: iterate for its output; then `exit_code` is set.

    Attributes:
        merged: Whether errors come as `stdout`.
    """

    merged: bool = False

    @property
    @abstractmethod
    def exit_code(self) -> int:
        """The status.

        Raises:
            CommandFailedError: the command has not ended, or ended without one.
        """


class Transport(ABC):
    """A device, by one way of reaching it.

    Several threads may call at once. Paths are absolute, `/` between their parts.

    Attributes:
        name: The way, one of `TRANSPORTS`.
        serial: The device.
        reason: Why this way was chosen.
        silence_s: Longest time without a sign of life while a file is moved, and for what takes
            an instant, in seconds.
        flush_s: Longest time for the disk to take the rest of a file that has been sent.
    """

    name: str
    serial: str
    reason: str = "asked for"
    silence_s: float = SILENCE_S
    flush_s: float = FLUSH_S

    @abstractmethod
    def stream(
        self,
        command: Command,
        *,
        stdin: BinaryIO | None = None,
        timeout_s: float | None = None,
        silence_s: float | None = None,
        cancel: threading.Event | None = None,
    ) -> AbstractContextManager[ShellStream]:
        """Run a command, and get its output as it comes. Leaving the block ends the command.

        Args:
            command: A script, or words to quote.
            stdin: What the command reads; by default nothing.
            timeout_s: Longest time in all.
            silence_s: Longest time without output.
            cancel: Set it from another thread to stop.

        Raises:
            CancelledError: `cancel` was set.
            ConnectionLostError: the device is gone.
            DeviceTimeoutError: it took too long.
        """

    def shell(
        self,
        command: Command,
        *,
        stdin: BinaryIO | None = None,
        timeout_s: float | None = None,
        cancel: threading.Event | None = None,
        output_limit: int = OUTPUT_LIMIT,
    ) -> ShellResult:
        """Run a command to its end. Raises as `stream` does.

        Raises:
            EndlessOutputError: it wrote more than `output_limit` bytes.
        """
        written = {"stdout": bytearray(), "stderr": bytearray()}
        with self.stream(command, stdin=stdin, timeout_s=timeout_s, cancel=cancel) as running:
            for output in running:
                written[output.stream] += output.data
                if sum(map(len, written.values())) > output_limit:
                    what = f"the output of '{first_word(command)}'"
                    raise EndlessOutputError(self.serial, what, output_limit)
            return ShellResult(
                running.exit_code,
                bytes(written["stdout"]),
                bytes(written["stderr"]),
                running.merged,
            )

    def run(
        self,
        command: Command,
        *,
        timeout_s: float | None = None,
        cancel: threading.Event | None = None,
    ) -> str:
        """Run a command that must succeed; return what it wrote.

        Args:
            command: A script, or words to quote.
            timeout_s: Longest time, by default `silence_s`.
            cancel: Set it from another thread to stop.

        Raises:
            CommandFailedError: it did not.
        """
        longest_s = self.silence_s if timeout_s is None else timeout_s
        result = self.shell(command, timeout_s=longest_s, cancel=cancel)
        if result.exit_code != 0:
            said = (result.stderr or result.stdout).decode("utf-8", "backslashreplace").strip()
            raise CommandFailedError(
                self.serial, first_word(command), result.exit_code, said[-500:]
            )
        return result.text

    @abstractmethod
    def stat(self, path: str, *, cancel: threading.Event | None = None) -> FileStat | None:
        """Return what lies under a path, `None` if nothing does."""

    @abstractmethod
    def list(self, path: str, *, cancel: threading.Event | None = None) -> list[FolderEntry]:
        """Return what a folder holds, by name, without `.` and `..`.

        Raises:
            DeviceFileError: it is no folder that can be read.
            ProtocolError: the device returns names that leave the folder.
        """

    @abstractmethod
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
        """Write a file as adb does; return its length. What breaks off leaves no file.

        Folders above it are made. `edgegen.device.push` builds on `write_at` instead.

        Raises:
            OutOfSpaceError: the disk became full.
            ReadOnlyTargetError: it cannot be written there.
        """

    @abstractmethod
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
        """Write `size` bytes into a file from its `block`-th MiB on, and sync it.

        Where `block` is not 0 the file must be there and hold what comes before, else it is an
        error: what another has removed is not made anew with zeros in front.
        What breaks off leaves the bytes that arrived. Writing the same again, even while an
        earlier call that was cut off still lingers on the device, does no harm. Raises as `push`.
        """

    @abstractmethod
    def pull(
        self,
        path: str,
        sink: BinaryIO,
        *,
        limit: int | None = None,
        advance: Advance | None = None,
        cancel: threading.Event | None = None,
    ) -> int:
        """Read a file; return its length.

        Args:
            path: The file.
            sink: Where to write it.
            limit: Most bytes to accept, by default the size that `stat` tells.
            advance: Called with each amount read.
            cancel: Set it from another thread to stop.

        Raises:
            DeviceFileError: there is no such file.
            EndlessOutputError: the device sends more than `limit`.
        """

    def remove(self, path: str, *, cancel: threading.Event | None = None) -> None:
        """Remove a file, if it is there."""
        self._file_command(("rm", "-f", checked(path)), path, cancel)

    def rename(self, path: str, target: str, *, cancel: threading.Event | None = None) -> None:
        """Give a file another name on the same disk, in place of what had it."""
        self._file_command(("mv", "-f", checked(path), checked(target)), target, cancel)

    def make_folder(self, path: str, *, cancel: threading.Event | None = None) -> None:
        """Make a folder, and those above it, where they are missing."""
        self._file_command(("mkdir", "-p", checked(path)), path, cancel)

    def _file_command(
        self, command: Sequence[str], path: str, cancel: threading.Event | None
    ) -> None:
        try:
            self.run(command, cancel=cancel)
        except CommandFailedError as error:
            raise file_failure(self.serial, path, error.message.rpartition(": ")[2]) from error

    @abstractmethod
    def close(self) -> None:
        """Close the way to the device."""

    def __enter__(self) -> Transport:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def script(command: Command) -> str:
    """Return a command as the text of a script, words quoted.

    Raises:
        PathRefusedError: a word holds a NUL, which no command can be given.
    """
    text = command if isinstance(command, str) else shlex.join(command)
    if "\0" in text:
        raise PathRefusedError(text, "it holds a NUL")
    return text


def number(text: str | bytes | None) -> int | None:
    """Return a number that a device tells, `None` if it is none, or more than 19 digits."""
    if isinstance(text, bytes):
        text = text.decode("ascii", "replace")
    found = re.fullmatch(r"\s*([0-9]{1,19})\s*", text or "")
    return int(found.group(1)) if found else None


def first_word(command: Command) -> str:
    """Return the name of a command, for messages."""
    words = command.split() if isinstance(command, str) else command
    return words[0] if words else ""


def checked(path: str) -> str:
    """Return a path that a device can be asked for.

    Raises:
        PathRefusedError: it is not absolute, too long, or holds a NUL.
    """
    if not path.startswith("/"):
        raise PathRefusedError(path, "it is not absolute")
    if "\0" in path:
        raise PathRefusedError(path, "it holds a NUL")
    if len(path.encode("utf-8", "surrogateescape")) > PATH_BYTES:
        raise PathRefusedError(path, f"it is longer than {PATH_BYTES} bytes")
    return path


def without_size(found: FileStat) -> FileStat:
    """Return a stat from a device that counts in 32 bits."""
    return replace(found, size=None)
