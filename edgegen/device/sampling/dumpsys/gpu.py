"""`dumpsys gpu --gpumem`: what the driver has given to each process (Android 12 and later)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from edgegen.device.sampling.dumpsys.lines import lines_of

_GPU = re.compile(r"Memory snapshot for GPU ([0-9]{1,4}):\s*")
_GLOBAL = re.compile(r"Global total: ([0-9]{1,19})(?:,.*)?\s*")
_PROCESS = re.compile(r"Proc ([0-9]{1,10}) total: ([0-9]{1,19})(?:,.*)?\s*")
_PROCESSES = 10_000


@dataclass(frozen=True)
class GpuMemory:
    """Memory of all GPUs of a device.

    Attributes:
        total_bytes: Of all processes and the system; `None` where the driver does not tell.
        process_bytes: By process id; a process that is not there has none, or is not told of.
    """

    total_bytes: int | None = None
    process_bytes: Mapping[int, int] = field(default_factory=dict)


def parse_gpumem(text: str) -> GpuMemory:
    """Read what `dumpsys gpu --gpumem` prints; other parts of `dumpsys gpu` are passed over."""
    totals: list[int] = []
    processes: dict[int, int] = {}
    inside = False
    for line in lines_of(text):
        if _GPU.fullmatch(line):
            inside = True
        elif not inside:
            continue
        elif (found := _GLOBAL.fullmatch(line)) is not None:
            totals.append(int(found.group(1)))
        elif (found := _PROCESS.fullmatch(line)) is not None:
            pid = int(found.group(1))
            if pid in processes or len(processes) < _PROCESSES:
                processes[pid] = processes.get(pid, 0) + int(found.group(2))
    return GpuMemory(sum(totals) if totals else None, processes)
