"""How often Linux has killed a process for want of memory, and what follows for one that was."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from edgegen.device.bench.record import Failure
from edgegen.device.transports.failures import CancelledError
from edgegen.device.transports.interface import Transport
from edgegen.errors import DeviceError

# The whole machine's count, and that of the control group, which containers see instead.
_COUNTERS = ("/proc/vmstat", "/sys/fs/cgroup/memory.events")
_KEY = "oom_kill "


def oom_kills() -> int | None:
    """Return the count so far, `None` where the kernel tells none."""
    return _total(text for path in _COUNTERS if (text := _text(path)) is not None)


def oom_kills_of(transport: Transport) -> int | None:
    """Return a device's count so far, `None` where it tells none.

    Raises:
        CancelledError: the user asked to stop.
    """
    try:
        said = transport.shell(
            f"for f in {' '.join(_COUNTERS)}; do grep '^{_KEY}' $f 2>/dev/null; done; exit 0",
            timeout_s=transport.silence_s,
        )
    except CancelledError:
        raise
    except DeviceError:
        return None  # what is measured tells more about a device that is gone
    return _total(said.text.splitlines())


def killed(failure: Failure, before: int | None, after: int | None) -> Failure:
    """Tell a kill for want of memory, which the kernel counts, from another."""
    if before is None or after is None:
        return failure
    if after > before:
        return replace(
            failure,
            kind="out_of_memory",
            message="the engine was killed by SIGKILL, and the kernel counts one more process "
            "that it killed for want of memory",
            hint="close other programs, or build with a smaller recipe or --kv-cache-len",
        )
    return replace(
        failure,
        message="the engine was killed by SIGKILL; not by the kernel for want of memory, which "
        "counts no such kill",
        hint="somebody or something ended it: run it again",
    )


def _total(texts: Iterable[str]) -> int | None:
    counts = [count for text in texts if (count := _count(text)) is not None]
    return sum(counts) if counts else None


def _text(path: str) -> str | None:
    try:
        return Path(path).read_text()
    except OSError:
        return None


def _count(text: str) -> int | None:
    values = (
        line.removeprefix(_KEY).strip() for line in text.splitlines() if line.startswith(_KEY)
    )
    return next((int(value) for value in values if value.isdigit() and len(value) < 20), None)
