"""Samples over time, as CSV text: what it may hold, and how it is read.

The text comes from a device and may be cut off anywhere, so nothing in it is trusted: what is not
a number is no value, a row that is not whole is dropped, and sizes are bounded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

FORMAT = "edgegen samples 1"
TEXT_LIMIT = 32 * 1024**2
COLUMN_LIMIT = 512
ROW_LIMIT = 400_000
_FACT_LIMIT = 1024  # lines that begin with `#`
_LINE = 64 * 1024  # characters of a line; a longer one is none of ours

# Samplers write the numbers that the kernel tells, because sums of more than 32 bits go wrong in
# some shells. Unit at the end of a name -> the unit read here, and how many of the first make one.
_UNITS = {
    "kib": ("bytes", 1 / 1024),
    "millicelsius": ("celsius", 1000.0),
    "hz": ("khz", 1000.0),
    "ua": ("ma", 1000.0),
    "uv": ("mv", 1000.0),
}
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:+-]{0,79}")
_NUMBER = re.compile(r"-?[0-9]{1,19}(?:\.[0-9]{1,9})?")
# Buffers by their inode, `12:4096 15:8192`: one that is open twice counts once.
_BUFFERS = re.compile(r"[0-9]{1,19}:[0-9]{1,19}(?: [0-9]{1,19}:[0-9]{1,19})*")

Column = tuple[float | None, ...]


@dataclass(frozen=True)
class Series:
    """Samples of one run.

    Attributes:
        columns: Values by name, all of one length; `None` where none was taken. `time_s` are
            seconds since the run began; other units are in the names.
        missing: Sources that could not be read, each with its reason, as the sampler says.
        facts: What else the sampler notes: `clock`, `began`, `pid`, `timed_out`, `ended` (with the
            exit code, where the sampler learned it), `range.…` of counters.
        dropped_rows: Rows that were not whole, or went back in time.
    """

    columns: Mapping[str, Column] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)
    dropped_rows: int = 0

    def values(self, name: str) -> list[float]:
        """Return the values of a column, without the gaps; none for one that is not there."""
        return [value for value in self.columns.get(name, ()) if value is not None]

    def group(self, name: str) -> list[str]:
        """Return the columns `name` and `name.…`, such as one for each temperature sensor."""
        return [known for known in self.columns if known.partition(".")[0] == name]

    @property
    def timed_out(self) -> bool:
        """Whether the sampler ended the run because it took too long."""
        return "timed_out" in self.facts

    @property
    def whole(self) -> bool:
        """Whether the sampler saw the end of the run, and noted it."""
        return "ended" in self.facts


def read_series(csv: str) -> Series:
    """Read samples. Text that holds none gives a series without columns; nothing is raised."""
    missing: dict[str, str] = {}
    facts: dict[str, str] = {}
    names: list[str | None] = []
    scales: list[float] = []
    rows: list[list[float | None]] = []
    dropped = 0
    last_s = float("-inf")
    # What follows the last line end was cut off while it was written.
    for raw in csv[:TEXT_LIMIT].split("\n")[:-1]:
        line = raw.rstrip("\r")
        if not line.strip() or len(line) > _LINE:
            dropped += bool(line.strip() and names)
        elif line.startswith("#"):
            if len(missing) + len(facts) < _FACT_LIMIT:
                _note(line, missing, facts)
        elif not names:
            names, scales = _header(line)
        elif len(rows) < ROW_LIMIT:
            row = _row(line, scales)
            if row is None or (now_s := row[0]) is None or now_s < last_s:
                dropped += 1
            else:
                last_s = now_s
                rows.append(row)
    began_s = _number(facts.get("began", "")) or (rows[0][0] if rows else None) or 0.0
    columns: dict[str, Column] = {}
    for index, name in enumerate(names):
        if name is None:
            continue
        values = tuple(row[index] for row in rows)
        if name == "time_s":
            values = tuple(None if value is None else value - began_s for value in values)
        columns[name] = values
    return Series(columns, missing, facts, dropped)


def _note(line: str, missing: dict[str, str], facts: dict[str, str]) -> None:
    key, _, rest = line[1:].strip().partition(" ")
    if key == "missing":
        name, _, reason = rest.strip().partition(" ")
        if _NAME.fullmatch(name):
            missing.setdefault(name, reason.strip()[:500])
    elif _NAME.fullmatch(key):
        facts.setdefault(key, rest.strip()[:500])


def _header(line: str) -> tuple[list[str | None], list[float]]:
    """Return the names and scales of a header; no names if it is none."""
    cells = line.split(",")
    if cells[0] != "time_s" or len(cells) > COLUMN_LIMIT:
        return [], []
    names: list[str | None] = []
    scales: list[float] = []
    for cell in cells:
        if not _NAME.fullmatch(cell):
            names.append(None)
            scales.append(1.0)
            continue
        name, scale = _in_our_units(cell)
        again, plain = 2, name
        while name in names:  # two sensors by one name
            name = f"{plain}.{again}"
            again += 1
        names.append(name)
        scales.append(scale)
    return names, scales


def _in_our_units(name: str) -> tuple[str, float]:
    head, dot, tail = name.partition(".")
    quantity, line, unit = head.rpartition("_")
    if unit not in _UNITS:
        return name, 1.0
    ours, scale = _UNITS[unit]
    return f"{quantity}{line}{ours}{dot}{tail}", scale


def _row(line: str, scales: list[float]) -> list[float | None] | None:
    """Return a row's values, `None` if it has not as many cells as the header."""
    cells = line.split(",")
    if len(cells) != len(scales):
        return None
    values = map(_number, cells)
    return [
        None if value is None else value / scale
        for value, scale in zip(values, scales, strict=True)
    ]


def _number(cell: str) -> float | None:
    if _NUMBER.fullmatch(cell):
        return float(cell)
    if _BUFFERS.fullmatch(cell):
        return float(sum(int(size) for size in dict(_pairs(cell)).values()))
    return None


def _pairs(cell: str) -> list[tuple[str, str]]:
    return [(inode, size) for inode, _, size in (pair.partition(":") for pair in cell.split(" "))]
