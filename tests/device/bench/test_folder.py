from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edgegen.device.bench.folder import RunFolder
from edgegen.device.bench.record import (
    SCHEMA,
    BundleFacts,
    Conditions,
    EngineFacts,
    Memory,
    Metrics,
    Record,
)
from edgegen.errors import OutputError

CELLS = [{"cell": "a", "sha256": "0"}, {"cell": "b", "sha256": "0"}]
PLAN: dict[str, Any] = {"run_id": "r1", "cells": CELLS, "method": {"repeats": 5, "warmup": 1}}
ROW = Record(
    schema=SCHEMA,
    run_id="r1",
    cell="a",
    index=0,
    phase="kept",
    started_at="2026-11-23T12:00:00+00:00",
    wall_s=1.0,
    edgegen_version="0.1.0",
    bundle=BundleFacts("a.task", "0" * 64, 9),
    engine=EngineFacts("host", "engine"),
    device={"serial": "x"},
    workload="pp64",
    prefill_tokens=64,
    decode_tokens=0,
    depth=0,
    prefill_padded_tokens=64,
    delegate="cpu",
    threads=None,
    activations=None,
    cpu_mask=None,
    flags=("a=1",),
    delegations=(),
    metrics=Metrics(init_ms=1.0, prefill_tokens=64, prefill_tokens_per_s=2.0),
    memory=Memory(),
    conditions=Conditions(),
    energy=None,
    memory_bytes_per_s=None,
    memory_method=None,
    missing={},
    failure=None,
    log=None,
    series=None,
)


def fill(path: Path, rows: int) -> None:
    with RunFolder(path, PLAN) as folder:
        for index in range(rows):
            folder.append(replace(ROW, index=index))


def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    fill(tmp_path / "runs" / "a", 2)

    with RunFolder(tmp_path / "runs" / "a", {**PLAN, "run_id": "r2"}) as folder:
        assert folder.records == [ROW, replace(ROW, index=1)]
        assert folder.run_id == "r1"  # of those who began
        assert folder.notes == []


@pytest.mark.parametrize("cut", [1, 2, 40, 400])
def test_a_row_that_was_cut_off_is_dropped_with_a_note(tmp_path: Path, cut: int) -> None:
    fill(tmp_path, 2)
    file = tmp_path / "records.jsonl"
    whole = file.read_bytes()
    file.write_bytes(whole[:-cut])

    with RunFolder(tmp_path, PLAN) as folder:
        assert folder.records == [ROW]
        assert folder.notes == [f"{file}: line 2 was cut off and is dropped; its run is done again"]
        folder.append(replace(ROW, index=1))
    assert file.read_bytes() == whole


def test_a_damaged_row_is_refused(tmp_path: Path) -> None:
    fill(tmp_path, 2)
    file = tmp_path / "records.jsonl"
    file.write_bytes(b"{}\n" + file.read_bytes())

    with pytest.raises(OutputError) as caught:
        RunFolder(tmp_path, PLAN)
    assert caught.value.message == (
        f"line 1 of {file} is no record: Object missing required field `schema`"
    )
    assert caught.value.hint == (
        "choose another folder; `edgegen report` tells what this one holds"
    )


@pytest.mark.parametrize(
    ("plan", "differing"),
    [
        (
            {**PLAN, "method": {"repeats": 6, "warmup": 1}},
            "repeats is 5 there, and 6 is asked for",
        ),
        ({**PLAN, "cells": CELLS[:1]}, "cell b differs"),
        ({**PLAN, "cells": [{**one, "sha256": "1"} for one in CELLS]}, "cell a and 1 more differs"),
        ({**PLAN, "cells": CELLS[::-1]}, "its cells are in another order"),
    ],
)
def test_a_folder_with_another_plan_is_refused(
    tmp_path: Path, plan: dict[str, Any], differing: str
) -> None:
    fill(tmp_path, 1)

    with pytest.raises(OutputError) as caught:
        RunFolder(tmp_path, plan)
    assert caught.value.message == f"folder {tmp_path} holds another benchmark: {differing}"
    assert caught.value.hint == (
        "choose another folder, or give the same arguments to go on with that one"
    )


def test_a_folder_with_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("dear")

    with pytest.raises(OutputError) as caught:
        RunFolder(tmp_path, PLAN)
    assert caught.value.message == f"folder {tmp_path} holds other files and no benchmark"
    assert caught.value.hint == "choose another name, or an empty folder"


@pytest.mark.parametrize("text", ["{", "[]", '{"schema": "else"}'])
def test_a_plan_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "plan.json").write_text(text)

    with pytest.raises(OutputError) as caught:
        RunFolder(tmp_path, PLAN)
    assert caught.value.message == f"{tmp_path / 'plan.json'} is no plan of a benchmark"


def test_two_benchmarks_do_not_write_into_one_folder(tmp_path: Path) -> None:
    with RunFolder(tmp_path, PLAN), pytest.raises(OutputError) as caught:
        RunFolder(tmp_path, PLAN)
    assert caught.value.message == f"another benchmark is writing into {tmp_path}"
    assert caught.value.hint == "wait for its end, or choose another folder"
    with RunFolder(tmp_path, PLAN):
        pass  # and neither keeps the other out afterwards


def test_rows_are_on_the_disk_at_once(tmp_path: Path) -> None:
    with RunFolder(tmp_path, PLAN) as folder:
        folder.append(ROW)
        line = (tmp_path / "records.jsonl").read_bytes()
    assert msgspec.json.decode(line, type=Record) == ROW


def test_logs_lie_beside_the_rows_and_empty_ones_do_not(tmp_path: Path) -> None:
    with RunFolder(tmp_path, PLAN) as folder:
        assert folder.keep("logs", "a-0.log", "text \udcff") == "logs/a-0.log"
        assert folder.keep("series", "a-0.csv", "") is None
    assert [path.name for path in (tmp_path / "logs").iterdir()] == ["a-0.log"]
    assert list((tmp_path / "series").iterdir()) == []


def test_a_full_disk_leaves_whole_rows_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RunFolder(tmp_path / "r", PLAN) as folder:
        folder.append(ROW)
        real = folder._file.write

        class Full:
            def __getattr__(self, name: str) -> Any:
                return getattr(whole, name)

            def write(self, data: memoryview) -> int:
                if len(data) > 20:
                    return real(data[:20])
                raise OSError(errno.ENOSPC, "No space left on device")

        whole = folder._file
        monkeypatch.setattr(folder, "_file", Full())
        with pytest.raises(OutputError) as caught:
            folder.append(replace(ROW, workload="x" * 9))
        monkeypatch.undo()
    rows = tmp_path / "r" / "records.jsonl"
    assert caught.value.message == (f"no space left while writing {rows}: No space left on device")
    assert rows.read_bytes() == msgspec.json.encode(ROW) + b"\n"
