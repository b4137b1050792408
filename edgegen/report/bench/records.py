"""Reading `records.jsonl`: from anywhere, so bounded and checked before anything is made of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from edgegen.device.bench.record import SCHEMA, Record
from edgegen.errors import EdgegenError
from edgegen.report.tables import printable

RECORDS_FILE = "records.jsonl"
MAX_LINE_BYTES = 4 * 1024**2
MAX_RECORDS = 100_000
MAX_BYTES = 1024**3
_LARGEST = 2**63  # no count or size comes near, and every format can hold it
_FAMILY = SCHEMA.rpartition("/")[0]
# Rates are divided by, so a rate of nothing is no result; times and sizes may be 0.
_ABOVE_ZERO = ("prefill_tokens_per_s", "decode_tokens_per_s", "memory_bytes_per_s")
_SMALLEST = 1e-9  # but 0: no clock, meter or rate tells less, and ratios stay within a float
_PARTS: dict[str, tuple[str, ...]] = {
    "": (
        "index",
        "wall_s",
        "prefill_tokens",
        "decode_tokens",
        "depth",
        "prefill_padded_tokens",
        "threads",
        "cpu_mask",
        "memory_bytes_per_s",
    ),
    "bundle": (
        "size_bytes",
        "weight_bytes",
        "weight_bytes_per_decode",
        "kv_bytes_per_token",
        "kv_cache_len",
    ),
    "metrics": (
        "init_ms",
        "ttft_ms",
        "prefill_tokens",
        "prefill_tokens_per_s",
        "decode_tokens",
        "decode_tokens_per_s",
    ),
    "memory": (
        "peak_rss_bytes",
        "peak_rss_anon_bytes",
        "peak_rss_file_bytes",
        "peak_pss_bytes",
        "peak_gpu_bytes",
        "peak_dmabuf_bytes",
    ),
    "energy": ("joules", "joules_per_token"),
}


class RecordsError(EdgegenError):
    """Records of a benchmark cannot be read, or do not fit together."""


@dataclass(frozen=True)
class BenchmarkRun:
    """The records of one benchmark.

    Attributes:
        name: What reports call it: the name of its folder, or of a file that is not called
            `records.jsonl`.
        file: Where the rows lie.
        records: All rows, in the order in which they were written.
        notes: What was left out while reading, and why.
    """

    name: str
    file: Path
    records: tuple[Record, ...]
    notes: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """Where logs and series lie."""
        return self.file.parent


def read_records(path: Path) -> list[Record]:
    """Return the rows of a benchmark's folder, or of a `records.jsonl`; see `read_run`."""
    return list(read_run(path).records)


def read_run(path: Path) -> BenchmarkRun:
    """Read the rows of a benchmark's folder, or of a `records.jsonl`.

    A last line that was cut short, as an interrupted benchmark leaves it, is dropped with a note.

    Raises:
        RecordsError: there is nothing to read, or a line is no record of this version.
    """
    file = path / RECORDS_FILE if path.is_dir() else path
    if not file.is_file():
        found = "a folder without" if path.is_dir() else "no folder and no"
        raise RecordsError(
            f"{path} is {found} {RECORDS_FILE}", "measure first: edgegen bench ... --out FOLDER"
        )
    records: list[Record] = []
    notes: list[str] = []
    try:
        with file.open("rb") as lines:
            for number, line in _lines(file, lines):
                whole = line.endswith(b"\n")
                if not whole and not _complete(line):
                    notes.append(f"{file}: line {number} was cut short and is left out")
                    continue
                records.append(_record(line, f"line {number} of {file}"))
    except OSError as error:
        raise RecordsError(
            f"{file} cannot be read: {error.strerror}", "check its permissions"
        ) from error
    if not records:
        raise RecordsError(
            f"{file} holds no finished run", "measure first: edgegen bench ... --out FOLDER"
        )
    file = file.resolve()
    name = file.parent.name if file.name == RECORDS_FILE else file.stem
    told = tuple(printable(note) for note in notes)
    return BenchmarkRun(printable(name) or str(file.parent), file, tuple(records), told)


def _lines(file: Path, lines: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yield the lines that are not blank, with their numbers."""
    number = total = 0
    while line := lines.readline(MAX_LINE_BYTES + 1):
        number += 1
        total += len(line)
        if len(line) > MAX_LINE_BYTES:
            raise RecordsError(
                f"line {number} of {file} is longer than {MAX_LINE_BYTES} bytes",
                "it is no records.jsonl of edgegen's, or it was damaged",
            )
        for found, most, unit in ((number, MAX_RECORDS, "lines"), (total, MAX_BYTES, "bytes")):
            if found > most:
                raise RecordsError(
                    f"{file} has more than {most} {unit}", "split it into several files"
                )
        if line.strip():
            yield number, line


def _complete(line: bytes) -> bool:
    """Tell whether a last line without an end is whole JSON."""
    try:
        msgspec.json.decode(line)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return False
    return True


class _Head(msgspec.Struct):
    """What tells a record's version, read before all else."""

    schema: str | None = None


def _record(line: bytes, where: str) -> Record:
    """Decode one row strictly."""
    ours = "each line must be a record as docs/reference/bench-record.md tells"
    try:
        schema = msgspec.json.decode(line, type=_Head).schema
        if schema is None or schema.rpartition("/")[0] != _FAMILY:
            raise RecordsError(f"{where} is no record of a benchmark: it names no '{SCHEMA}'", ours)
        if schema != SCHEMA:
            raise RecordsError(
                f"{where} is of version '{_short(schema)}', expected '{SCHEMA}'",
                "read it with the edgegen that wrote it, or measure again",
            )
        record = msgspec.json.decode(line, type=Record)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise RecordsError(f"{where} is no record of a benchmark: {_short(error)}", ours) from error
    wrong = next(_wrong(record), None)
    if wrong is not None:
        raise RecordsError(f"{where}: {wrong}", ours)
    return record


def _wrong(record: Record) -> Iterator[str]:
    """Yield what of a record cannot be, though its types are right."""
    if any(abs(number) > _LARGEST for number in _numbers(msgspec.to_builtins(record))):
        yield f"a number is beyond {_LARGEST}"
    try:
        started_at(record)
    except ValueError:
        yield f"started_at is '{_short(record.started_at)}', expected a time in ISO 8601"
    if (record.metrics is None) == (record.failure is None):
        yield "expected either metrics or a failure"
    for name in ("log", "series"):
        if "\0" in (getattr(record, name) or ""):
            yield f"{name} holds a NUL, which no path does"
    for name, value in _quantities(record):
        least = "above 0" if name.rpartition(".")[2] in _ABOVE_ZERO else "0 or more"
        if value < 0 or (value == 0 and least == "above 0"):
            yield f"{name} is {value:g}, expected {least}"
        if 0 < value < _SMALLEST:
            yield f"{name} is {value:g}, expected at least {_SMALLEST:g}"


def _quantities(record: Record) -> Iterator[tuple[str, float]]:
    """Yield all that cannot be below 0, with its name."""
    for part, names in _PARTS.items():
        holder = getattr(record, part) if part else record
        for name in names if holder is not None else ():
            if (value := getattr(holder, name)) is not None:
                yield (f"{part}.{name}" if part else name), value
    for length in record.bundle.prefill_lens:
        yield "bundle.prefill_lens", length


def _numbers(value: Any) -> Iterator[float]:
    """Yield all numbers inside a value of JSON."""
    if isinstance(value, dict):
        for each in value.values():
            yield from _numbers(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _numbers(each)
    elif isinstance(value, int | float):
        yield value


def started_at(record: Record) -> datetime:
    """Return when a run began.

    Raises:
        ValueError: it does not say so in ISO 8601.
    """
    # Python 3.10 does not know the Z.
    told = datetime.fromisoformat(record.started_at.replace("Z", "+00:00"))
    return told if told.tzinfo is not None else told.replace(tzinfo=timezone.utc)


def _short(told: object) -> str:
    """Return what someone else wrote, on one short line."""
    text = " ".join(str(told).split())
    return text if len(text) <= 200 else f"{text[:199]}…"
