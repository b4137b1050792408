"""Commands over a device's `shell` and `exec` services: output, exit code, and an end."""

from __future__ import annotations

import re
import secrets
from collections import deque
from typing import BinaryIO, Literal

from edgegen.device.transports import wire
from edgegen.device.transports.byte_stream import BACKLOG_BYTES, ByteStream, Reader
from edgegen.device.transports.failures import (
    CommandFailedError,
    ConnectionLostError,
    EndlessOutputError,
)
from edgegen.device.transports.interface import Advance, ShellOutput, ShellStream
from edgegen.device.transports.patience import Patience

_PIECE = 1024 * 1024
_STREAMS: dict[int, Literal["stdout", "stderr"]] = {wire.STDOUT: "stdout", wire.STDERR: "stderr"}


class Mark:
    """A word that no output holds by chance: it tells a command's process id and exit code."""

    def __init__(self) -> None:
        self.word = secrets.token_hex(16)

    def before(self, script: str) -> str:
        """Return a script that first says who runs it."""
        return f"echo {self.word}:$$:\n{script}"

    def around(self, script: str, *, reads: bool) -> str:
        """Return a script that also says how it ended, for devices that do not.

        Args:
            script: The command.
            reads: Whether it reads what we send.
        """
        given = "" if reads else " </dev/null"
        return self.before(f"(\n{script}\n){given}\necho {self.word}:$?:")


class RunningCommand(ShellStream):
    """The output of a command, as it comes.

    Args:
        stream: Its service.
        mark: The word in its script.
        patience: How long to wait.
        framed: Whether the device speaks shell protocol 2; else the mark tells the exit code.
        stdin: What the command reads; needs the device to speak shell protocol 2, or a command
            that knows where it ends.
        advance: Called with each amount that was read from `stdin` and sent.
        terminal: Whether an old device puts a terminal in between, which writes CR LF.
    """

    def __init__(
        self,
        stream: ByteStream,
        mark: Mark,
        patience: Patience,
        *,
        framed: bool,
        stdin: BinaryIO | None = None,
        advance: Advance | None = None,
        terminal: bool = False,
    ) -> None:
        self.merged = not framed
        self.process_id: int | None = None
        self._stream, self._patience = stream, patience
        self._reader = Reader(stream, patience)
        self._framed, self._terminal = framed, terminal
        self._pattern = re.compile(rb"%s:(\d{1,10}):\r?\n" % mark.word.encode())
        self._word = mark.word.encode()
        self._mark_bytes = len(mark.word) + 15  # the longest that one may be
        self._stdin, self._advance = stdin, advance
        self._record_kind = self._record_left = 0  # of the record that is being read
        self._held = bytearray()
        self._ready: deque[ShellOutput] = deque()
        self._exit_code: int | None = None
        self._ended = False

    def start(self) -> None:
        """Send what the command reads, unless it says something meanwhile; then close that."""
        if self._stdin is not None:
            head = wire.SHELL_PACKET.size if self._framed else 0
            room = self._stream.chunk_bytes - head
            buffers = [memoryview(bytearray(room)) for _ in range(2)]
            while not self._gone():
                buffers.reverse()
                count = self._stdin.readinto(buffers[0])  # type: ignore[attr-defined]
                if not count:
                    break
                piece = buffers[0][:count]
                framing = [wire.SHELL_PACKET.pack(wire.STDIN, count)] if self._framed else []
                try:
                    self._stream.send([*framing, piece], self._patience)
                except ConnectionLostError:
                    if not self._gone():
                        raise
                    break
                if self._advance is not None:
                    self._advance(count)
        if self._framed and not self._ended:
            closing = wire.SHELL_PACKET.pack(wire.CLOSE_STDIN, 0)
            try:
                self._stream.send([closing], self._patience)
            except ConnectionLostError:
                if not self._gone():
                    raise

    def __next__(self) -> ShellOutput:
        while not self._ready:
            if self._ended:
                raise StopIteration
            self._read()
        return self._ready.popleft()

    @property
    def exit_code(self) -> int:
        """The status, once all output has been read."""
        if self._exit_code is None:
            raise CommandFailedError(self._stream.serial, "the command", None, "")
        return self._exit_code

    @property
    def ended(self) -> bool:
        """Whether the command has told its exit code."""
        return self._exit_code is not None

    def _gone(self) -> bool:
        """Whether the command has ended while we still send, as `dd` does on a full disk."""
        while self._reader.waiting() and not self._ended:
            self._read()
            if sum(len(output.data) for output in self._ready) > BACKLOG_BYTES:
                what = "an answer while it was still being spoken to"
                raise EndlessOutputError(self._stream.serial, what, BACKLOG_BYTES)
        return self._ended

    def _read(self) -> None:
        if self._framed:
            self._read_framed()
        else:
            self._read_plain()

    def _read_framed(self) -> None:
        if self._exit_code is not None:
            self._ended = True
            return
        if not self._record_left:
            head = self._reader.exactly(wire.SHELL_PACKET.size)
            self._record_kind, self._record_left = wire.SHELL_PACKET.unpack(head)
        if self._record_kind == wire.EXIT:
            self._exit_code = self._reader.exactly(1)[0]
            self._ended = True
            self._pass_on(b"", last=True)
            return
        if not self._record_left:
            return
        piece = self._reader.some(min(self._record_left, _PIECE))
        if piece is None:
            raise ConnectionLostError(self._stream.serial, "the command's output broke off")
        self._record_left -= len(piece)
        if self._record_kind == wire.STDOUT and self.process_id is None:
            self._pass_on(bytes(piece))
        elif self._record_kind in _STREAMS:
            self._ready.append(ShellOutput(_STREAMS[self._record_kind], bytes(piece)))

    def _read_plain(self) -> None:
        piece = self._reader.some(_PIECE)
        if piece is not None:
            self._pass_on(bytes(piece))
            return
        self._ended = True
        self._pass_on(b"", last=True)
        if self._exit_code is None:
            raise ConnectionLostError(self._stream.serial, "the command ended without an exit code")

    def _pass_on(self, data: bytes, *, last: bool = False) -> None:
        """Take marks out of the output, and pass on what cannot be part of one."""
        self._held += data
        while (found := self._pattern.search(self._held)) is not None:
            if self.process_id is None:
                self.process_id = int(found.group(1))
            else:
                self._exit_code = int(found.group(1))
            self._emit(bytes(self._held[: found.start()]))
            del self._held[: found.end()]
            if self._framed:
                last = True  # the one mark there is
        keep = 0 if last else self._begun_mark()
        if len(self._held) > keep:
            cut = len(self._held) - keep
            if self._terminal and self._held[cut - 1 : cut] == b"\r" and not last:
                cut -= 1  # what follows may be its LF
            self._emit(bytes(self._held[:cut]))
            del self._held[:cut]

    def _begun_mark(self) -> int:
        """Return how many of the last bytes may be the begin of a mark."""
        tail = bytes(self._held[-self._mark_bytes :])
        for begin in range(len(tail)):
            if self._word.startswith(tail[begin:]) or tail.startswith(self._word, begin):
                return len(tail) - begin
        return 0

    def _emit(self, data: bytes) -> None:
        if self._terminal:
            data = data.replace(b"\r\n", b"\n")
        if data:
            self._ready.append(ShellOutput("stdout", data))
