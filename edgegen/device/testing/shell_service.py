"""The device's `shell:`, `shell,v2:` and `exec:` services: real commands of this machine."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import threading
from typing import IO, TYPE_CHECKING

from edgegen.device.testing.device_stream import DeviceStream
from edgegen.device.testing.faults import Broken
from edgegen.device.transports import wire

if TYPE_CHECKING:
    from edgegen.device.testing.adbd import Adbd

_PIECE = 256 * 1024


class ShellService:
    """Runs one command.

    Args:
        device: The device.
        command: What its shell is to run; nothing means a shell that reads commands.
        framed: Whether the host speaks shell protocol 2, with separate errors and an exit code.
        terminal: Whether, unframed, an old device's terminal makes CR LF of each line end.
        reboots: Whether this is no command, but the order to reboot.
    """

    def __init__(
        self,
        device: Adbd,
        command: str,
        *,
        framed: bool,
        terminal: bool,
        reboots: bool = False,
    ) -> None:
        self._device, self._command = device, command
        self._framed = framed
        self._terminal = terminal and not framed and device.terminal_line_ends
        self._reboots = reboots

    def serve(self, stream: DeviceStream) -> None:
        """Run the command, and end with it."""
        if self._reboots:
            self._device.reboot()
            return
        # As in adbd: a pair of sockets, of which more fits than of a pipe.
        given, taken = socket.socketpair()
        process = subprocess.Popen(
            ["/bin/sh", *(["-c", self._device.here(self._command)] if self._command else [])],
            stdin=taken.fileno(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if self._framed else subprocess.STDOUT,
            cwd=self._device.root,
            env=self._device.environment,
            start_new_session=True,
            bufsize=0,
        )
        taken.close()
        self._device.processes.add(process)
        pumps = [
            threading.Thread(target=self._pump, args=(stream, pipe, kind), daemon=True)
            for pipe, kind in ((process.stdout, wire.STDOUT), (process.stderr, wire.STDERR))
            if pipe is not None
        ]
        feeder = threading.Thread(target=self._feed, args=(stream, process, given), daemon=True)
        for thread in (*pumps, feeder):
            thread.start()
        for thread in pumps:
            thread.join()
        code = process.wait()
        self._device.processes.discard(process)
        if self._framed:
            code = code if code >= 0 else 128 - code
            with contextlib.suppress(Broken):
                stream.write([wire.SHELL_PACKET.pack(wire.EXIT, 1) + bytes([code & 0xFF])])
        stream.end()  # the feeder waits for the host
        feeder.join()

    def _feed(
        self, stream: DeviceStream, process: subprocess.Popen[bytes], given: socket.socket
    ) -> None:
        """Pass on what the host sends; when it goes, tell the shell, and nobody else."""
        try:
            with given:
                feed = self._feed_framed if self._framed else self._feed_plain
                feed(stream, given)
            while stream.some(_PIECE) is not None:
                pass
        except Broken:
            pass
        with contextlib.suppress(ProcessLookupError):
            if process.poll() is None:
                os.kill(process.pid, signal.SIGHUP)

    def _feed_plain(self, stream: DeviceStream, given: socket.socket) -> None:
        while (piece := stream.some(_PIECE)) is not None:
            if not _write(given, piece):
                return

    def _feed_framed(self, stream: DeviceStream, given: socket.socket) -> None:
        while True:
            kind, length = wire.SHELL_PACKET.unpack(stream.exactly(wire.SHELL_PACKET.size))
            if kind == wire.CLOSE_STDIN:
                return
            while length:
                piece = stream.some(length)
                if piece is None:
                    raise Broken
                length -= len(piece)
                if kind == wire.STDIN:
                    _write(given, piece)

    def _pump(self, stream: DeviceStream, pipe: IO[bytes], kind: int) -> None:
        room = min(_PIECE, stream.chunk_bytes - wire.SHELL_PACKET.size)
        gone = False
        with pipe:
            while data := os.read(pipe.fileno(), room):
                if self._terminal:
                    data = data.replace(b"\n", b"\r\n")
                head = [wire.SHELL_PACKET.pack(kind, len(data))] if self._framed else []
                try:
                    stream.write([*head, data])
                except Broken:
                    gone = True
                    break
        if gone:
            return  # the pipe is closed: a command that goes on writing gets SIGPIPE, as of adbd


def _write(given: socket.socket, piece: memoryview) -> bool:
    """Write all; tell whether the command still reads."""
    try:
        given.sendall(piece)
    except OSError:
        return False
    return True
