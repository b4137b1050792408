"""One stream of a connection, as a service of the device sees it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgegen.device.testing.faults import Broken
from edgegen.device.transports import wire
from edgegen.device.transports.byte_stream import Part

if TYPE_CHECKING:
    from edgegen.device.testing.connection import Connection


class DeviceStream:
    """Bytes from and to the host.

    Attributes:
        closed: Set once the host has closed it, or the connection broke.
    """

    def __init__(self, connection: Connection, local_id: int, remote_id: int) -> None:
        self.closed = threading.Event()
        self.local_id, self.remote_id = local_id, remote_id
        self.chunk_bytes = connection.payload_bytes
        self._connection = connection
        self._inbox: queue.SimpleQueue[memoryview | None] = queue.SimpleQueue()
        self._acknowledged = threading.Semaphore(1)
        self._sending = threading.Lock()
        self._rest = memoryview(b"")
        self._current: memoryview | None = None

    # What the connection calls.
    def deliver(self, payload: memoryview) -> None:
        """Hand over what the host sent."""
        self._inbox.put(payload)

    def acknowledge(self) -> None:
        """Note that the host took what was sent."""
        self._acknowledged.release()

    def end(self) -> None:
        """Note that the host, or the connection, is gone."""
        self.closed.set()
        self._inbox.put(None)
        self._acknowledged.release()

    # What services call.
    def some(self, limit: int) -> memoryview | None:
        """Return 1 to `limit` bytes, `None` once the host has closed the stream."""
        if not self._rest:
            if self._current is not None:
                self._connection.recycle(self._current)
                self._current = None
            payload = self._inbox.get()
            if payload is None:
                self._inbox.put(None)
                return None
            self._current = self._rest = payload
            self._connection.send(wire.OKAY, self.local_id, self.remote_id)
        taken, self._rest = self._rest[:limit], self._rest[limit:]
        return taken

    def exactly(self, count: int) -> bytes:
        """Return so many bytes.

        Raises:
            Broken: the host closed the stream before.
        """
        got = bytearray()
        while len(got) < count:
            piece = self.some(count - len(got))
            if piece is None:
                raise Broken
            got += piece
        return bytes(got)

    def write(self, parts: Sequence[Part]) -> None:
        """Send bytes, once the host has taken those before.

        Raises:
            Broken: the host has closed the stream.
        """
        with self._sending:
            self._acknowledged.acquire()
            if self.closed.is_set():
                self._acknowledged.release()
                raise Broken
            self._connection.send(wire.WRTE, self.local_id, self.remote_id, parts)
