"""Looking for the processes that others start."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path


def processes_with(mark: str) -> list[int]:
    """Return the ids of the processes whose environment holds `mark`."""
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            if mark.encode() in environ.read_bytes():
                found.append(int(environ.parent.name))
    return found


def wait_for(condition: Callable[[], bool], timeout_s: float = 10) -> bool:
    """Return whether `condition` came true in time."""
    end = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True
