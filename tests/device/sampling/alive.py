"""Who is alive on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path


def alive(pid: int) -> bool:
    fields = _fields(Path(f"/proc/{pid}"))
    return bool(fields) and fields[0] not in "ZX"


def alive_in_session(leader: int) -> list[int]:
    return [
        int(folder.name)
        for folder in Path("/proc").glob("[0-9]*")
        if (fields := _fields(folder)) and int(fields[3]) == leader and fields[0] not in "ZX"
    ]


def wait_for(true: Callable[[], object], timeout_s: float = 10) -> None:
    end = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def _fields(folder: Path) -> list[str]:
    """Return what stands behind the name in `stat`; nothing if the process is gone."""
    try:
        return (folder / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
