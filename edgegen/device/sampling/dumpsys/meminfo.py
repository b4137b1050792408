"""`dumpsys meminfo PID`: a process's memory by what it is used for, as Android counts it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from edgegen.device.sampling.dumpsys.lines import lines_of

_HEAD = re.compile(r"\*\* MEMINFO in pid ([0-9]{1,10}) \[(.{0,200})\] \*\*")
# Name, PSS in KiB, and the further columns, which differ between versions.
_ROW = re.compile(r"\s*([A-Za-z.][A-Za-z. ]{0,40}?)\s+([0-9]{1,12})((?:\s+[0-9]{1,12})*)\s*")
_OLD_TOTAL = re.compile(r"\s*TOTAL:\s+([0-9]{1,12})\b.*")
_NEW_TOTAL = re.compile(r"\s*TOTAL PSS:\s+([0-9]{1,12})\b(?:.*?TOTAL RSS:\s+([0-9]{1,12})\b)?.*")
_GRAPHICS = re.compile(r"\s*Graphics:\s+([0-9]{1,12})\b.*")
# What graphics drivers report of memory that no page table of the process shows.
GRAPHICS_ROWS = ("Gfx dev", "EGL mtrack", "GL mtrack")
_ROWS = 200


@dataclass(frozen=True)
class MemInfo:
    """Memory of one process; what is not told is `None` or not there.

    Attributes:
        pid: The process.
        name: The name of its package or program.
        pss_bytes: Proportional set size in all, memory of the graphics drivers included.
        rss_bytes: Resident set size in all (Android 11 and later).
        graphics_bytes: The summary's line for graphics.
        rows: PSS by the names of the table's rows, such as `Native Heap` or `GL mtrack`.
    """

    pid: int | None = None
    name: str | None = None
    pss_bytes: int | None = None
    rss_bytes: int | None = None
    graphics_bytes: int | None = None
    rows: Mapping[str, int] = field(default_factory=dict)

    @property
    def gpu_bytes(self) -> int | None:
        """The sum of `GRAPHICS_ROWS`; `None` if none of them is there."""
        found = [self.rows[name] for name in GRAPHICS_ROWS if name in self.rows]
        return sum(found) if found else None


def parse_meminfo_service(text: str) -> MemInfo:
    """Read what `dumpsys meminfo` prints of one process: the first, if it prints several."""
    pid: int | None = None
    name: str | None = None
    rows: dict[str, int] = {}
    table_total = pss = rss = graphics = None
    summary = False
    for line in lines_of(text):
        if (head := _HEAD.search(line)) is not None:
            if pid is not None:
                break
            pid, name = int(head.group(1)), head.group(2)
        elif pid is None:
            continue
        elif line.strip() == "App Summary":
            summary = True
        elif (total := _NEW_TOTAL.fullmatch(line)) is not None:
            pss = _first(pss, total.group(1))
            rss = _first(rss, total.group(2))
        elif (total := _OLD_TOTAL.fullmatch(line)) is not None:
            pss = _first(pss, total.group(1))
        elif summary:
            if (shown := _GRAPHICS.fullmatch(line)) is not None:
                graphics = _first(graphics, shown.group(1))
        elif table_total is None and (row := _ROW.fullmatch(line)) is not None:
            if row.group(1) == "TOTAL":  # what follows, are parts of rows and other tables
                table_total = int(row.group(2)) * 1024
            elif len(rows) < _ROWS:
                rows.setdefault(row.group(1), int(row.group(2)) * 1024)
    return MemInfo(pid, name, table_total if pss is None else pss, rss, graphics, rows)


def _first(known: int | None, kib: str | None) -> int | None:
    return int(kib) * 1024 if known is None and kib is not None else known
