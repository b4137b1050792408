"""What the services of a device are spoken over: bytes both ways, from whatever transport."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence

from edgegen.device.transports.failures import (
    ConnectionLostError,
    EndlessOutputError,
    ProtocolError,
)
from edgegen.device.transports.patience import Patience

Part = bytes | bytearray | memoryview

BACKLOG_BYTES = 16 * 1024**2
_EMPTY_PACKETS = 1000  # one after the other; no adbd sends any


class Backlog:
    """What a device has said while we were still speaking."""

    def __init__(self, serial: str) -> None:
        self._serial = serial
        self._pieces: deque[memoryview] = deque()
        self._bytes = 0

    def __bool__(self) -> bool:
        return bool(self._pieces)

    def put(self, piece: memoryview) -> None:
        """Keep some bytes."""
        self._bytes += len(piece)
        if self._bytes > BACKLOG_BYTES:
            what = "an answer while it was still being spoken to"
            raise EndlessOutputError(self._serial, what, BACKLOG_BYTES)
        self._pieces.append(piece)

    def take(self) -> memoryview:
        """Return the oldest bytes."""
        piece = self._pieces.popleft()
        self._bytes -= len(piece)
        return piece


class ByteStream(ABC):
    """One open service.

    Attributes:
        serial: The device, for messages.
        chunk_bytes: How much to send at a time.
    """

    serial: str
    chunk_bytes: int

    @abstractmethod
    def send(self, parts: Sequence[Part], patience: Patience) -> None:
        """Send all parts, `chunk_bytes` together at most. They may be reused afterwards.

        What the device says meanwhile is kept, for it may listen no more until it has been heard.

        Raises:
            EndlessOutputError: it says more than `BACKLOG_BYTES`.
        """

    @abstractmethod
    def receive(self, patience: Patience) -> memoryview | None:
        """Return the next bytes, `None` at the end; valid until the next call."""

    @abstractmethod
    def pending(self) -> bool:
        """Tell whether `receive` would not have to wait."""

    @abstractmethod
    def close(self) -> None:
        """End the service; may be called again."""


class Reader:
    """Reads records from a stream, and hands out long ones without copying them."""

    def __init__(self, stream: ByteStream, patience: Patience) -> None:
        self.stream, self.patience = stream, patience
        self._rest = memoryview(b"")

    def some(self, limit: int) -> memoryview | None:
        """Return 1 to `limit` bytes, `None` at the end; valid until the next call."""
        for _ in range(_EMPTY_PACKETS):
            if self._rest:
                break
            more = self.stream.receive(self.patience)
            if more is None:
                return None
            self._rest = more
        else:
            raise ProtocolError(self.stream.serial, f"{_EMPTY_PACKETS} empty packets")
        taken, self._rest = self._rest[:limit], self._rest[limit:]
        return taken

    def exactly(self, count: int) -> bytes:
        """Return so many bytes.

        Raises:
            ConnectionLostError: the stream ended before.
        """
        if len(self._rest) >= count:
            taken, self._rest = self._rest[:count], self._rest[count:]
            return bytes(taken)
        got = bytearray()
        while len(got) < count:
            piece = self.some(count - len(got))
            if piece is None:
                raise ConnectionLostError(
                    self.stream.serial, "the device ended the transfer before it was complete"
                )
            got += piece
        return bytes(got)

    def waiting(self) -> bool:
        """Tell whether bytes are there already."""
        return bool(self._rest) or self.stream.pending()
