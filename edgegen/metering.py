"""What a stage of work cost: wall time and peak memory, for build summaries and benchmarks."""

from __future__ import annotations

import contextlib
import resource
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class StageCost:
    """One stage's cost.

    Attributes:
        name: The stage.
        wall_s: Seconds from start to end.
        peak_rss_bytes: Highest resident memory of this process during the stage; `None`
            where the system does not tell.
    """

    name: str
    wall_s: float
    peak_rss_bytes: int | None


class StageMeter:
    """Collects the cost of each stage, in the order they ran."""

    def __init__(self) -> None:
        self.costs: list[StageCost] = []

    @contextlib.contextmanager
    def measure(self, name: str) -> Iterator[None]:
        """Measure the block. Nothing is recorded if it raises."""
        exact = reset_peak_rss()
        started = time.monotonic()
        yield
        peak = peak_rss_bytes() if exact else None
        self.costs.append(StageCost(name, time.monotonic() - started, peak))


def reset_peak_rss() -> bool:
    """Start the kernel's high-water mark anew; false where it cannot be (not Linux)."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def peak_rss_bytes() -> int | None:
    """Return this process's resident high-water mark since start or the last reset."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return None
