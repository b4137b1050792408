from __future__ import annotations

import threading
from pathlib import Path

import pytest

from edgegen import bench
from edgegen.bundle.dimensions import Dimensions
from edgegen.device.bench.matrix import Matrix, cells_of, fitting_workload
from edgegen.device.bench.method import Method
from edgegen.device.bench.run import run_matrix, with_counts
from edgegen.device.bench.workload import Workload
from edgegen.device.runners import RUNNERS, runner_for
from edgegen.device.runners.interface import RunOutcome, RunRequest
from edgegen.device.transports.failures import CancelledError, NoDeviceError, UnreachableError
from edgegen.errors import BundleError, DeviceError, EngineError
from edgegen.progress import Advance, reporting
from tests.device.bench.scripted import GOOD, ScriptedRunner, opening

DIMENSIONS = Dimensions(
    ("decode", "prefill_16", "prefill_32", "prefill_128"), (16, 32, 128), 512, 4, 2048
)


class Counter:
    def __init__(self) -> None:
        self.stages: dict[str, tuple[int | None, str]] = {}
        self.amounts: list[int] = []

    def start(self, name: str, total: int | None, unit: str) -> Advance:
        self.stages[name] = (total, unit)
        return self.amounts.append if name == "bench" else lambda amount: None

    def finish(self, name: str) -> None:
        pass


def matrix(bundle: Path, *devices: str, repeats: int = 2) -> Matrix:
    return Matrix((bundle,), devices=devices, tests=(Workload(16, 4),), method=Method(repeats))


def test_devices_are_measured_at_once_each_one_run_at_a_time(
    demo_task: Path, tmp_path: Path
) -> None:
    both = threading.Barrier(2, timeout=20)
    running = {"x": 0, "y": 0}

    def outcome_of(device: str) -> ScriptedRunner:
        def outcome(request: RunRequest, number: int) -> RunOutcome:
            running[device] += 1
            assert running[device] == 1
            both.wait()  # passes only if the other device runs at the same time
            running[device] -= 1
            return GOOD

        return ScriptedRunner(outcome)

    runners = {device: outcome_of(device) for device in running}
    counter = Counter()
    with reporting(counter):
        result = run_matrix(
            matrix(demo_task, "x", "y"), out=tmp_path / "a", open_with=opening(runners)
        )

    assert len(result.records) == 8
    assert counter.stages["bench"] == (8, "runs")
    assert sum(counter.amounts) == 8
    assert all(runner.calls[-1] == "close" for runner in runners.values())


def test_a_device_that_cannot_be_reached_is_a_row_if_there_are_others(
    demo_task: Path, tmp_path: Path
) -> None:
    runners = {"x": ScriptedRunner(), "y": ScriptedRunner()}

    def unreachable() -> ScriptedRunner:
        raise UnreachableError("10.0.0.9:5555", "refused")

    runners["y"].__class__ = type(
        "Gone", (ScriptedRunner,), {"__enter__": lambda self: unreachable()}
    )
    result = run_matrix(matrix(demo_task, "x", "y"), out=tmp_path / "a", open_with=opening(runners))

    (row,) = [record for record in result.records if record.failure is not None]
    assert row.failure is not None
    assert row.failure.kind == "device_lost"
    assert row.device == {"serial": "y"}
    assert row.engine.runner == "litert-lm"
    assert sum(record.failure is None for record in result.records) == 4

    again = run_matrix(
        matrix(demo_task, "x", "y"),
        out=tmp_path / "a",
        open_with=opening({**runners, "y": ScriptedRunner()}),
    )
    assert again.notes == (f"5 runs were in {tmp_path / 'a'} already, 4 are left",)
    assert sum(record.failure is None for record in again.records) == 8


def test_the_only_device_that_cannot_be_reached_is_an_error(demo_task: Path) -> None:
    def nothing(*_: object) -> None:
        raise NoDeviceError(["USB"])

    with pytest.raises(NoDeviceError):
        run_matrix(matrix(demo_task, "x"), open_with=nothing)  # type: ignore[arg-type]


def test_ctrl_c_ends_all_devices_and_what_is_there_stays(demo_task: Path, tmp_path: Path) -> None:
    import _thread

    def outcome(request: RunRequest, number: int) -> RunOutcome:
        if number < 3:
            return GOOD
        _thread.interrupt_main()
        assert request.cancel is not None
        assert request.cancel.wait(20)
        raise CancelledError("x")

    with pytest.raises(KeyboardInterrupt):
        run_matrix(
            matrix(demo_task, "x"),
            out=tmp_path / "a",
            open_with=opening({"x": ScriptedRunner(outcome)}),
        )
    result = run_matrix(
        matrix(demo_task, "x"), out=tmp_path / "a", open_with=opening({"x": ScriptedRunner()})
    )

    assert result.resumed == 2
    assert [r.phase for r in result.records] == ["cold", "warmup", "warmup", "kept", "kept"]


def test_without_a_folder_records_name_no_files(demo_task: Path) -> None:
    result = run_matrix(matrix(demo_task, "x"), open_with=opening({"x": ScriptedRunner()}))

    assert {record.log for record in result.records} == {None}


@pytest.mark.parametrize(
    ("asked", "chosen"),
    [
        ((None, None), (128, 128)),
        ((None, 400), (32, 400)),
        ((None, 500), (12, 500)),
        ((500, None), (500, 12)),
        ((511, 1), (511, 1)),
        ((8, 7), (8, 7)),
    ],
)
def test_counts_are_chosen_to_fit_the_cache_of_512(
    asked: tuple[int | None, int | None], chosen: tuple[int, int]
) -> None:
    assert fitting_workload(Path("m.task"), DIMENSIONS, *asked) == Workload(*chosen)


def test_counts_that_do_not_fit_are_refused() -> None:
    with pytest.raises(EngineError) as caught:
        fitting_workload(Path("m.task"), DIMENSIONS, 500, 13)
    assert caught.value.message == (
        "500 prompt tokens and 13 answer tokens do not fit the KV cache of 512"
    )
    assert caught.value.hint == (
        "ask for at most 512 together, or build with a larger --kv-cache-len"
    )


def test_a_model_that_is_no_language_model_is_refused() -> None:
    with pytest.raises(BundleError) as caught:
        fitting_workload(Path("m.task"), Dimensions(("serve",), (), None, 0, None))
    assert caught.value.message == (
        "the model in m.task has no decode signature with a KV cache, or no prefill_N, expected "
        "both"
    )
    assert caught.value.hint == "convert the checkpoint with edgegen build"


def test_a_test_that_fits_no_bundle_is_refused_before_anything_runs(demo_task: Path) -> None:
    with pytest.raises(EngineError) as caught:
        bench(demo_task, tests="pp500+tg13")
    assert caught.value.message == (
        "pp500+tg13 takes 513 tokens, which do not fit the KV cache of 512"
    )


def test_everything_is_measured_with_everything(demo_task: Path) -> None:
    cells = cells_of(
        Matrix(
            (demo_task, demo_task),
            devices=("host", "X1"),
            delegates=("cpu", "gpu"),
            tests=(Workload(64, 0), Workload(0, 8, 64)),
            threads=(None, 1),
        )
    )

    assert len({cell.name for cell in cells}) == len(cells) == 16
    assert cells[0].name == f"{demo_task.stem}-host-cpu-pp64"
    assert cells[-1].name == f"{demo_task.stem}-X1-litert-lm-gpu-tg8@d64-t1"


def test_one_count_that_is_given_is_kept_and_the_other_fits(demo_task: Path) -> None:
    asked = with_counts(Matrix((demo_task,)), None, 400)

    assert asked.tests == (Workload(32, 400),)


@pytest.mark.parametrize(
    ("device", "name", "message", "hint"),
    [
        ("host", "hots", "unknown runner 'hots'", "did you mean 'host'? (known: app, board, "),
        ("host", "app", "the runner app measures on a device, and 'host' is this machine", "name"),
        ("X1", "host", "the runner host measures on this machine, and not on 'X1'", "leave"),
    ],
)
def test_runners_that_do_not_go_with_the_device_are_refused(
    device: str, name: str, message: str, hint: str
) -> None:
    with pytest.raises(DeviceError) as caught:
        runner_for(device, name)
    assert caught.value.message == message
    assert str(caught.value.hint).startswith(hint)


def test_devices_have_a_runner_of_their_own() -> None:
    assert (runner_for("host"), runner_for("X1"), runner_for("X1", "board")) == (
        *("host", "litert-lm", "board"),
    )
    assert set(RUNNERS) == {"host", "litert-lm", "app", "board"}
