"""What an engine writes, of which the beginning and the end are kept, however much it is."""

from __future__ import annotations

import contextlib
import os
import threading

_HEAD, _TAIL = 256 * 1024, 2 * 1024**2
_READ = 64 * 1024
_LAST_WORDS_S = 2.0  # for what a process wrote that has ended


class BoundedLog:
    """The beginning and the end of what an engine writes."""

    def __init__(self) -> None:
        self._head, self._tail, self._dropped = bytearray(), bytearray(), 0

    def add(self, data: bytes) -> None:
        """Take more."""
        room = _HEAD - len(self._head)
        self._head += data[:room]
        self._tail += data[room:] if room > 0 else data
        if (more := len(self._tail) - _TAIL) > 0:
            self._dropped += more
            del self._tail[:more]

    def text(self) -> str:
        """Return it as text, with a line for what was left out."""
        between = f"\n[{self._dropped} bytes left out]\n".encode() if self._dropped else b""
        whole = bytes(self._head) + between + bytes(self._tail)
        return whole.decode("utf-8", "backslashreplace").replace("\r\n", "\n")


class Output:
    """Reads what a process writes to a pipe, in a thread of its own, and keeps it bounded.

    Attributes:
        childs_fd: The end of the pipe for the process; close it here once that was started.
    """

    def __init__(self) -> None:
        self._fd, self.childs_fd = os.pipe()
        self._log, self._lock = BoundedLog(), threading.Lock()
        self._thread = threading.Thread(target=self._read, name="engine output", daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Wait for the last words of a process that has ended.

        A process that it has left behind may hold the pipe, and is not waited for.
        """
        self._thread.join(_LAST_WORDS_S)

    def __str__(self) -> str:
        with self._lock:
            return self._log.text()

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            while data := os.read(self._fd, _READ):
                with self._lock:
                    self._log.add(data)
        os.close(self._fd)
