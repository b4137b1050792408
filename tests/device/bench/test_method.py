from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from edgegen.bundle.contents import Bundle
from edgegen.device.bench.cell import Cell
from edgegen.device.bench.folder import RunFolder
from edgegen.device.bench.method import DeviceBench, Method, Progress
from edgegen.device.bench.record import Conditions, EngineFacts, Failure, Record
from edgegen.device.runners.interface import RunOutcome, RunRequest
from edgegen.device.transports.failures import CancelledError, ConnectionLostError
from edgegen.errors import DeviceError, OutputError
from tests.device.bench.scripted import GOOD, ScriptedRunner, cell, failed

PLAN = {"run_id": "r1", "cells": [], "method": {}}


def measured(
    folder: Path,
    runner: ScriptedRunner,
    cells: Sequence[Cell],
    method: Method | None = None,
    advance: Callable[[int], None] = lambda runs: None,
    cancel: threading.Event | None = None,
) -> tuple[list[Record], list[str]]:
    with RunFolder(folder, PLAN) as run_folder:
        bench = DeviceBench(
            method or Method(repeats=2),
            run_folder,
            cancel=cancel or threading.Event(),
            advance=advance,
        )
        bench.measure(runner, cells)
        return run_folder.records, bench.notes


def runs(records: Sequence[Record]) -> list[str]:
    return [f"{r.bundle.name[0]}{r.index} {r.phase}" for r in records]


def test_cold_runs_come_first_and_repeats_take_turns(tmp_path: Path) -> None:
    runner = ScriptedRunner()
    records, notes = measured(tmp_path, runner, [cell("a"), cell("b")], Method(2, 1))

    assert runs(records)[:4] == ["a0 cold", "b0 cold", "a1 warmup", "b1 warmup"]
    kept = runs(records)[4:]
    assert [sorted(kept[:2]), sorted(kept[2:])] == [
        ["a2 kept", "b2 kept"],
        ["a3 kept", "b3 kept"],
    ]
    assert runner.calls[:8] == [
        *("prepare a.task", "prepare b.task"),
        *("drop", "run a.task", "drop", "run b.task"),
        *("run a.task", "run b.task"),
    ]
    assert len(runner.calls) == 12
    assert notes == []


def test_who_goes_first_is_drawn_by_lot_and_the_same_each_time(tmp_path: Path) -> None:
    orders = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        records, _ = measured(
            tmp_path / name, ScriptedRunner(), [cell("a"), cell("b")], Method(16, 1)
        )
        kept = [record.bundle.name[0] for record in records if record.phase == "kept"]
        orders.append(["".join(kept[at : at + 2]) for at in range(0, 32, 2)])
    assert orders[0] == orders[1]
    assert set(orders[0]) == {"ab", "ba"}


def test_a_row_tells_what_was_asked_and_found(tmp_path: Path) -> None:
    states = iter(
        Conditions(thermal_status_before="none", start_celsius=30.0 + n, cpu_max_khz_capped=n == 1)
        for n in range(99)
    )
    runner = ScriptedRunner(state=lambda: next(states))
    asked = cell("a", threads=2, activations="f16", cpu_mask=0xF0, test="pp100+tg8@d32")
    records, _ = measured(tmp_path, runner, [asked], Method(1))

    row = records[0]
    assert row.cell == "a-host-cpu-pp100+tg8@d32-t2-f16-cf0"
    assert (row.workload, row.prefill_tokens, row.decode_tokens, row.depth) == (
        *("pp100+tg8@d32", 100, 8, 32),
    )
    assert row.prefill_padded_tokens == 112
    assert (row.threads, row.activations, row.cpu_mask) == (2, "f16", 0xF0)
    assert row.conditions == Conditions(
        thermal_status_before="none",
        thermal_status_after="none",
        start_celsius=30.0,
        max_celsius=31.0,
        cpu_max_khz_capped=True,
    )
    assert (row.memory_bytes_per_s, row.memory_method) == (1e9, "by copying")
    assert row.metrics == GOOD.metrics
    assert row.device == {"serial": "scripted", "model": "Board 1"}
    assert row.log is not None
    assert (tmp_path / row.log).read_text() == "a log"
    assert row.series is None


@pytest.mark.parametrize("bad_run", [1, 2])
def test_a_cell_that_cannot_even_warm_up_is_one_row_and_the_others_go_on(
    tmp_path: Path, bad_run: int
) -> None:
    def outcome(request: RunRequest, number: int) -> RunOutcome:
        mine = str(request.bundle) == "a.task"
        return failed("refused") if mine and number >= 2 * bad_run - 1 else GOOD

    advanced: list[int] = []
    records, _ = measured(
        tmp_path,
        ScriptedRunner(outcome),
        [cell("a"), cell("b")],
        advance=advanced.append,
    )

    of_a = [r for r in records if r.bundle.name == "a.task"]
    assert [r.failure.kind for r in of_a if r.failure is not None] == ["refused"]
    assert len(of_a) == bad_run
    assert [r.phase for r in records if r.bundle.name == "b.task"] == [
        *("cold", "warmup", "kept", "kept")
    ]
    assert sum(advanced) == 8


def test_a_repeat_that_fails_is_a_row_and_two_in_a_row_end_the_cell(tmp_path: Path) -> None:
    bad = {3, 5, 6}  # cold and warm-up are 1 and 2
    runner = ScriptedRunner(lambda request, number: failed("crashed") if number in bad else GOOD)
    records, _ = measured(tmp_path, runner, [cell("a")], Method(repeats=9))

    assert [r.failure is None for r in records] == [True, True, False, True, False, False]


def test_a_crash_while_warming_up_may_happen_once(tmp_path: Path) -> None:
    once = ScriptedRunner(lambda request, number: failed("crashed") if number == 2 else GOOD)
    records, _ = measured(tmp_path, once, [cell("a")])
    assert [r.failure is None for r in records] == [True, False, True, True]


def test_what_crashed_is_tried_again_next_time_and_what_is_refused_is_not(tmp_path: Path) -> None:
    for kind, again in (("crashed", True), ("refused", False)):
        folder = tmp_path / kind
        folder.mkdir()
        failing = ScriptedRunner(lambda request, number, kind=kind: failed(kind))
        measured(folder, failing, [cell("a")])
        records, _ = measured(folder, ScriptedRunner(), [cell("a")])
        good = [r.phase for r in records if r.failure is None]
        assert good == (["cold", "warmup", "kept", "kept"] if again else [])


def test_an_engine_that_was_missing_is_looked_for_again(tmp_path: Path) -> None:
    class Without(ScriptedRunner):
        def prepare(self, bundle: Bundle) -> None:
            raise DeviceError("there is no engine", "name it: --engine-dir DIR")

    records, _ = measured(tmp_path, Without(), [cell("a")])
    (row,) = records
    assert row.failure == Failure("missing", "there is no engine", "name it: --engine-dir DIR")
    records, _ = measured(tmp_path, ScriptedRunner(), [cell("a")])
    assert [r.phase for r in records[1:]] == ["cold", "warmup", "kept", "kept"]


def test_what_was_measured_stays_when_the_device_then_cannot_be_looked_at(tmp_path: Path) -> None:
    asked = []

    def state() -> Conditions:
        asked.append(1)
        if len(asked) % 2 == 0:  # after each run
            raise ConnectionLostError("X1", "unplugged")
        return Conditions()

    records, _ = measured(tmp_path, ScriptedRunner(state=state), [cell("a")])
    assert [r.phase for r in records] == ["cold", "warmup", "kept", "kept"]
    assert all(r.failure is None and r.metrics == GOOD.metrics for r in records)
    assert {r.missing["conditions_after"] for r in records} == {
        "lost the connection to X1: unplugged"
    }


def test_a_benchmark_does_not_go_on_with_another_engine(tmp_path: Path) -> None:
    class Newer(ScriptedRunner):
        def engine(self) -> EngineFacts:
            return EngineFacts("host", "engine", "1.1", {"lib.so": "ab" * 32})

    measured(tmp_path, ScriptedRunner(), [cell("a")], Method(2))
    with pytest.raises(OutputError) as caught:
        measured(tmp_path, Newer(), [cell("a")], Method(3))
    assert caught.value.message == (
        f"rows in {tmp_path} are of engine 1.0, and this is engine 1.1 (files abababababab)"
    )
    assert caught.value.hint == "choose another folder, or use the same engine as before"


def test_failed_runs_have_no_energy_per_token(tmp_path: Path) -> None:
    def outcome(request: RunRequest, number: int) -> RunOutcome:
        return replace(failed("crashed") if number == 4 else GOOD, joules=(192.0, "rapl"))

    records, _ = measured(tmp_path, ScriptedRunner(outcome), [cell("a")])
    assert [r.energy and r.energy.joules_per_token for r in records] == [2.0, 2.0, 2.0, None]


@pytest.mark.parametrize("pair", [("模型", "型模"), ("a b", "a_b"), ("a/b", "a:b")])
def test_cells_of_different_bundles_have_different_names(pair: tuple[str, str]) -> None:
    assert cell(pair[0]).name != cell(pair[1]).name
    assert cell("a_b").name == "a_b-host-cpu-pp64+tg32"


def test_tokens_that_do_not_fit_are_a_row_without_a_run(tmp_path: Path) -> None:
    runner = ScriptedRunner()
    records, _ = measured(tmp_path, runner, [cell("a", test="pp500+tg13")])

    assert runner.calls == []
    (row,) = records
    assert row.failure is not None
    assert (row.failure.kind, row.failure.message, row.failure.hint) == (
        "refused",
        "pp500+tg13 takes 513 tokens, which do not fit the KV cache of 512",
        "ask for at most 512 together, or build with a larger --kv-cache-len",
    )
    assert row.metrics is None


@pytest.mark.parametrize(("test", "fits"), [("tg511", True), ("tg512", False), ("pp512", True)])
def test_an_answer_alone_wants_a_token_before_it(test: str, fits: bool) -> None:
    assert (cell("a", test=test).misfit() is None) is fits


def test_a_finished_benchmark_runs_nothing_again(tmp_path: Path) -> None:
    before, _ = measured(tmp_path, ScriptedRunner(), [cell("a")])
    runner = ScriptedRunner()
    after, _ = measured(tmp_path, runner, [cell("a")])

    assert runner.calls == []
    assert after == before


def test_a_benchmark_that_was_ended_goes_on_warmed_up_anew(tmp_path: Path) -> None:
    cancel = threading.Event()

    def outcome(request: RunRequest, number: int) -> RunOutcome:
        if number == 4:  # cold, warm-up and one repeat are there
            cancel.set()
            raise CancelledError("scripted")
        return GOOD

    with pytest.raises(CancelledError):
        measured(tmp_path, ScriptedRunner(outcome), [cell("a")], Method(3), cancel=cancel)
    records, _ = measured(tmp_path, ScriptedRunner(), [cell("a")], Method(3))

    assert runs(records) == [
        *("a0 cold", "a1 warmup", "a2 kept"),
        *("a3 warmup", "a4 kept", "a5 kept"),
    ]


def test_a_device_that_goes_away_is_a_row_and_its_runs_are_done_later(tmp_path: Path) -> None:
    def outcome(request: RunRequest, number: int) -> RunOutcome:
        if number >= 5:
            raise ConnectionLostError("X1", "unplugged")
        return GOOD

    cells = [cell(name, device="X1") for name in "abc"]
    runner = ScriptedRunner(outcome)
    records, notes = measured(tmp_path, runner, cells, Method(1))

    lost = [r for r in records if r.failure is not None]
    assert [(r.cell[0], r.phase) for r in lost] == [("b", "warmup"), ("c", "warmup")]
    assert all(r.failure is not None and r.failure.kind == "device_lost" for r in lost)
    assert lost[0].failure is not None
    assert lost[0].failure.message == "lost the connection to X1: unplugged"
    assert runner.runs == 6
    assert notes == ["X1 is gone; the same command does what is left once it is back"]

    records, _ = measured(tmp_path, ScriptedRunner(), cells, Method(1))
    kept = [r.cell[0] for r in records if r.phase == "kept" and r.failure is None]
    assert sorted(kept) == ["a", "b", "c"]
    assert [r.cell[0] for r in records if r.phase == "cold"] == ["a", "b", "c"]


def test_what_is_too_hot_is_a_row_and_tried_again_next_time(tmp_path: Path) -> None:
    hot = ScriptedRunner(state=lambda: Conditions(thermal_status_before="severe"))
    method = Method(1, thermal_wait_s=0)
    records, _ = measured(tmp_path, hot, [cell("a")], method)

    (row,) = records
    assert row.failure is not None
    assert row.failure.kind == "too_hot"
    assert hot.runs == 0
    records, _ = measured(tmp_path, ScriptedRunner(), [cell("a")], method)
    assert [r.phase for r in records if r.failure is None] == ["cold", "warmup", "kept"]


def test_a_limit_that_cannot_be_looked_at_is_said(tmp_path: Path) -> None:
    records, _ = measured(tmp_path, ScriptedRunner(), [cell("a")], Method(1, max_celsius=40))

    assert records[0].missing == {
        "thermal_gate": "the device tells no temperature, so the limit was not looked at"
    }


def test_each_run_is_told_all_of_its_cell(tmp_path: Path) -> None:
    seen: list[RunRequest] = []

    def outcome(request: RunRequest, number: int) -> RunOutcome:
        seen.append(request)
        return GOOD

    asked = cell("a", threads=3, cpu_mask=1, test="pp64")
    method = Method(1, timeout_s=7, sample_interval_s=0.5)
    measured(tmp_path, ScriptedRunner(outcome), [asked], method)

    assert len(seen) == 3
    assert {(r.workload.name, r.threads, r.cpu_mask) for r in seen} == {("pp64", 3, 1)}
    assert {(r.timeout_s, r.sample_interval_s) for r in seen} == {(7, 0.5)}


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("repeats", 0, ">= 1"),
        ("warmup", 0, ">= 1"),
        ("cooldown_s", -1, ">= 0"),
        ("timeout_s", 0, "> 0"),
        ("cooldown_s", 604801, "at most a week"),
    ],
)
def test_impossible_methods_are_refused(field: str, value: int, expected: str) -> None:
    with pytest.raises(ValueError, match=f"{field} is {value}, expected {expected}"):
        Method(**{field: value})  # type: ignore[arg-type]


def test_what_is_left_counts_a_new_warm_up() -> None:
    method, progress = Method(repeats=3, warmup=2), Progress()
    assert progress.left(method) == 6
    for phase in ("cold", "warmup", "warmup", "kept"):
        progress.add(phase, None)  # type: ignore[arg-type]
    assert progress.left(method) == 4
    assert progress.index == 4
