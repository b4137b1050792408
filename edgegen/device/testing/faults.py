"""What a device can be told to do wrong."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field


class Broken(Exception):
    """Ends a connection without a word, as a cable that falls out does."""


@dataclass
class Faults:
    """How a device fails. Counts begin with `arm` and go over all connections; set what you want.

    Attributes:
        close_after_received: Break the connection after so many bytes from the host, once.
        close_after_sent: Break it after so many bytes to the host, once.
        stall_after_received: Stop reading after so many bytes, until `release`.
        corrupt_at_received: Flip a bit of that byte from the host, once.
        bytes_per_s: Read no faster.
        disk_bytes: Have the disk full after so many more bytes.
    """

    close_after_received: int | None = None
    close_after_sent: int | None = None
    stall_after_received: int | None = None
    corrupt_at_received: int | None = None
    bytes_per_s: float | None = None
    disk_bytes: int | None = None
    received: int = 0
    sent: int = 0
    happened: int = 0
    _released: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def arm(
        self,
        *,
        close_after_received: int | None = None,
        close_after_sent: int | None = None,
        stall_after_received: int | None = None,
        corrupt_at_received: int | None = None,
    ) -> None:
        """Set what shall happen once, and count from 0 on."""
        with self._lock:
            self.received = self.sent = self.happened = 0
            self.close_after_received = close_after_received
            self.close_after_sent = close_after_sent
            self.stall_after_received = stall_after_received
            self.corrupt_at_received = corrupt_at_received
            self._released.clear()

    def release(self) -> None:
        """End a stall."""
        self._released.set()

    def may_receive(self, count: int) -> int:
        """Return how many bytes may be read now, so that a fault comes at its very byte."""
        with self._lock:
            for place in (self.close_after_received, self.stall_after_received):
                if place is not None and place > self.received:
                    count = min(count, place - self.received)
            return count

    def on_received(self, data: memoryview) -> None:
        """Count what came; break, stall, slow down or corrupt it as told."""
        if self.bytes_per_s is not None:
            time.sleep(len(data) / self.bytes_per_s)
        with self._lock:
            before, self.received = self.received, self.received + len(data)
            if self._falls_in(self.corrupt_at_received, before, self.received):
                assert self.corrupt_at_received is not None
                data[self.corrupt_at_received - before] ^= 0x10
                self.corrupt_at_received = None
                self.happened += 1
            stalls = self._reached(self.stall_after_received)
            if stalls:
                self.stall_after_received = None
                self.happened += 1
            if self._reached(self.close_after_received):
                self.close_after_received = None
                self.happened += 1
                raise Broken
        if stalls:
            self._released.wait()

    def may_send(self, count: int) -> int:
        """Return how many of so many bytes are still sent."""
        with self._lock:
            if self.close_after_sent is None:
                self.sent += count
                return count
            count = min(count, self.close_after_sent - self.sent)
            self.sent += count
            return count

    def on_sent(self) -> None:
        """Break the connection if that was all."""
        with self._lock:
            if self.close_after_sent is not None and self.sent >= self.close_after_sent:
                self.close_after_sent = None
                self.happened += 1
                raise Broken

    def take_disk(self, count: int) -> bool:
        """Count bytes that are written to the disk; tell whether they fit."""
        with self._lock:
            if self.disk_bytes is None:
                return True
            self.disk_bytes -= count
            return self.disk_bytes >= 0

    def _reached(self, place: int | None) -> bool:
        return place is not None and self.received >= place

    @staticmethod
    def _falls_in(place: int | None, begin: int, end: int) -> bool:
        return place is not None and begin <= place < end
