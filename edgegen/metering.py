"""What a stage of work cost: wall time and peak memory, for build summaries and benchmarks."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_SAMPLE_S = 0.1


@dataclass(frozen=True)
class StageCost:
    """One stage's cost.

    Attributes:
        name: The stage.
        wall_s: Seconds from start to end.
        peak_memory_bytes: Highest resident memory of this process and its children
            together, pages that they share counted once; sampled ten times a second. `None`
            where the system does not tell.
    """

    name: str
    wall_s: float
    peak_memory_bytes: int | None


class StageMeter:
    """Collects the cost of each stage, in the order they ran."""

    def __init__(self) -> None:
        self.costs: list[StageCost] = []

    @contextlib.contextmanager
    def measure(self, name: str) -> Iterator[None]:
        """Measure the block. Nothing is recorded if it raises."""
        started = time.monotonic()
        with TreeMemory() as memory:
            yield
        self.costs.append(StageCost(name, time.monotonic() - started, memory.peak_bytes))


class TreeMemory:
    """Watches the memory of this process and all its descendants while the block runs."""

    def __init__(self) -> None:
        self.peak_bytes: int | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> TreeMemory:
        self._sample()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._sample()

    def _watch(self) -> None:
        while not self._ended.wait(_SAMPLE_S):
            self._sample()

    def _sample(self) -> None:
        sizes = [_proportional_bytes(pid) for pid in _process_tree(os.getpid())]
        known = [size for size in sizes if size is not None]
        if known:
            self.peak_bytes = max(self.peak_bytes or 0, sum(known))


def peak_rss_bytes() -> int | None:
    """Return this process's resident high-water mark, or `None` where it is not told."""
    return _status_bytes(_PROC / "self" / "status", "VmHWM:")


def _process_tree(root: int) -> list[int]:
    tree = [root]
    for pid in tree:  # grows while it is walked
        for task in _entries(_PROC / str(pid) / "task"):
            with contextlib.suppress(OSError):  # it ended meanwhile
                tree += map(int, (task / "children").read_text().split())
    return tree


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _proportional_bytes(pid: int) -> int | None:
    return _status_bytes(_PROC / str(pid) / "smaps_rollup", "Pss:")


def _status_bytes(path: Path, key: str) -> int | None:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(key)), None)
