"""How often Linux has killed a process for want of memory."""

from __future__ import annotations

from pathlib import Path

# The whole machine's count, and that of the control group, which containers see instead.
_COUNTERS = (Path("/proc/vmstat"), Path("/sys/fs/cgroup/memory.events"))


def oom_kills() -> int | None:
    """Return the count so far, `None` where the kernel tells none."""
    counts = [count for path in _COUNTERS if (count := _count(path)) is not None]
    return sum(counts) if counts else None


def _count(path: Path) -> int | None:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return None
    values = (line.removeprefix("oom_kill ") for line in lines if line.startswith("oom_kill "))
    return next((int(value) for value in values if value.isdigit()), None)
