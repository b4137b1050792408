"""The folder of a benchmark: its plan, its rows and its logs, safe against being cut off."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from edgegen.device.bench.record import Record
from edgegen.errors import OutputError
from edgegen.files import atomic_output, disk_errors

RECORDS = "records.jsonl"
PLAN = "plan.json"
PLAN_SCHEMA = "edgegen.bench-plan/1"
# Of a plan, what says when and by whom it was begun, and not what is to be done.
_PASSING = ("run_id", "started_at", "edgegen_version")
_MAX_PLAN_BYTES = 64 * 1024**2


class RunFolder:
    """Rows are appended and synced one by one; what is there is there.

    Attributes:
        path: The folder.
        run_id: The benchmark that it holds.
        records: Rows of earlier sessions and of this one.
        notes: What was found and dropped.
    """

    def __init__(self, path: Path, plan: Mapping[str, Any]) -> None:
        self.path, self.notes = path, list[str]()
        self.records: list[Record] = []
        self._lock = threading.Lock()
        self._stack = contextlib.ExitStack()
        with disk_errors(path):
            path.mkdir(parents=True, exist_ok=True)
            try:
                self._claim()
                self.run_id = self._agree(plan)
                self._file = self._stack.enter_context((path / RECORDS).open("a+b", buffering=0))
                self._read()
            except BaseException:
                self._stack.close()
                raise
            for name in ("logs", "series"):
                (path / name).mkdir(exist_ok=True)

    def append(self, record: Record) -> None:
        """Add a row, durably."""
        line = msgspec.json.encode(record) + b"\n"
        with self._lock, disk_errors(self.path / RECORDS):
            whole = os.fstat(self._file.fileno()).st_size
            try:
                left = memoryview(line)
                while left:
                    left = left[self._file.write(left) :]
                os.fsync(self._file.fileno())
            except BaseException:
                with contextlib.suppress(OSError):
                    self._file.truncate(whole)  # half a row is none
                raise
            self.records.append(record)

    def keep(self, kind: str, name: str, text: str) -> str | None:
        """Write a run's log or series; return its place in the folder, `None` if it is empty."""
        if not text:
            return None
        place = Path(kind) / name
        with disk_errors(self.path / place):
            (self.path / place).write_text(text, encoding="utf-8", errors="backslashreplace")
        return str(place)

    def close(self) -> None:
        """Let others write."""
        self._stack.close()

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _agree(self, plan: Mapping[str, Any]) -> str:
        """Write the plan, or compare it with the one that is there; return the run's id."""
        file = self.path / PLAN
        if not file.exists():
            if any(self.path.iterdir()):
                raise OutputError(
                    f"folder {self.path} holds other files and no benchmark",
                    "choose another name, or an empty folder",
                )
            with atomic_output(file) as temporary:
                content = json.dumps({"schema": PLAN_SCHEMA, **plan}, indent=2)
                temporary.write_text(content + "\n", encoding="utf-8")
            return str(plan["run_id"])
        found = self._plan(file)
        wanted = json.loads(json.dumps({"schema": PLAN_SCHEMA, **plan}))
        differing = _differing(found, wanted)
        if differing:
            raise OutputError(
                f"folder {self.path} holds another benchmark: {differing}",
                "choose another folder, or give the same arguments to go on with that one",
            )
        return str(found.get("run_id"))

    def _plan(self, file: Path) -> dict[str, Any]:
        try:
            with file.open("rb") as stream:
                found = json.loads(stream.read(_MAX_PLAN_BYTES))
        except (ValueError, RecursionError) as error:
            raise _damaged(file) from error
        if not isinstance(found, dict) or found.get("schema") != PLAN_SCHEMA:
            raise _damaged(file)
        return found

    def _claim(self) -> None:
        folder = os.open(self.path, os.O_RDONLY)
        self._stack.callback(os.close, folder)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OutputError(
                f"another benchmark is writing into {self.path}",
                "wait for its end, or choose another folder",
            ) from error

    def _read(self) -> None:
        """Read the rows that are there; drop one that was cut off."""
        whole = 0
        with (self.path / RECORDS).open("rb") as rows:
            for number, line in enumerate(rows, start=1):
                if not line.endswith(b"\n"):
                    self.notes.append(
                        f"{self.path / RECORDS}: line {number} was cut off and is dropped; its "
                        "run is done again"
                    )
                    break
                try:
                    self.records.append(msgspec.json.decode(line, type=Record))
                except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
                    raise OutputError(
                        f"line {number} of {self.path / RECORDS} is no record: {error}",
                        "choose another folder; `edgegen report` tells what this one holds",
                    ) from error
                whole += len(line)
        self._file.truncate(whole)


def _damaged(file: Path) -> OutputError:
    return OutputError(f"{file} is no plan of a benchmark", "choose another folder")


def _differing(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """Say what differs between two plans; nothing if they are the same."""
    names = {key: (found.get(key), wanted.get(key)) for key in (*found, *wanted)}
    for key, (there, asked) in names.items():
        if key in _PASSING or there == asked:
            continue
        if key == "cells":
            before = {one.get("cell"): one for one in there or []}
            after = {one["cell"]: one for one in asked or []}
            changed = sorted(
                str(name) for name in {*before, *after} if before.get(name) != after.get(name)
            )
            many = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
            return (
                f"cell {changed[0]}{many} differs" if changed else "its cells are in another order"
            )
        if isinstance(there, dict) and isinstance(asked, dict):
            name = next(k for k in (*there, *asked) if there.get(k) != asked.get(k))
            return f"{name} is {there.get(name)} there, and {asked.get(name)} is asked for"
        return f"{key} is {there} there, and {asked} is asked for"
    return ""
