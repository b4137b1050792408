"""Builds that are ended before they are done: nothing half-written, no process left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from edgegen.pipeline import build
from edgegen.progress import Advance, reporting
from tests.processes import processes_with, wait_for
from tests.signals import ORDINARY_SIGNALS
from tests.test_pipeline import RANDOM, build_command, random_folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_folder(tmp_path_factory.mktemp("hf"), **RANDOM["1:1 tied"])


def libraries_are_loading(pid: int, _: str) -> bool:
    return "libtorch" in Path(f"/proc/{pid}/maps").read_text()


def model_is_traced(_: int, mark: str) -> bool:
    found = processes_with(mark)
    return any("skeleton_worker" in Path(f"/proc/{p}/cmdline").read_text() for p in found)


@pytest.mark.usefixtures("nothing_kept")
@pytest.mark.parametrize("moment", [libraries_are_loading, model_is_traced])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_kill_leave_nothing_behind(
    folder: Path, tmp_path: Path, moment: Callable[[int, str], bool], number: signal.Signals
) -> None:
    command = [*ORDINARY_SIGNALS, *build_command(folder, "-o", tmp_path / "m.task")]
    mark = f"EDGEGEN_TEST_MARK={uuid.uuid4()}"
    with subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **dict([mark.split("=")])},
    ) as process:
        try:
            assert wait_for(lambda: moment(process.pid, mark), timeout_s=30)
            process.send_signal(number)
            _, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 128 + number, errors
    assert errors.startswith("error: ")
    assert "Traceback" not in errors
    assert list(tmp_path.iterdir()) == []
    assert wait_for(lambda: processes_with(mark) == [])


@pytest.mark.usefixtures("nothing_kept")
def test_the_tracer_ends_with_a_killed_build(folder: Path, tmp_path: Path) -> None:
    """SIGKILL leaves no time to clean up; no process may go on for minutes all the same."""
    command = [*ORDINARY_SIGNALS, *build_command(folder, "-o", tmp_path / "m.task")]
    mark = f"EDGEGEN_TEST_MARK={uuid.uuid4()}"
    with subprocess.Popen(
        command, stderr=subprocess.DEVNULL, env={**os.environ, **dict([mark.split("=")])}
    ) as process:
        try:
            assert wait_for(lambda: model_is_traced(process.pid, mark), timeout_s=30)
        finally:
            process.kill()
    assert wait_for(lambda: processes_with(mark) == [])


def test_a_tracer_whose_parent_is_gone_already_ends(tmp_path: Path) -> None:
    """The parent may be killed before the tracer can ask to end with it."""
    job = {"parent": os.getpid() + 1, "checkpoint": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "edgegen.convert.skeleton_worker"],
        input=json.dumps(job).encode(),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == b""


class Interrupt:
    """Ctrl-C in the middle of one stage."""

    def __init__(self, name: str) -> None:
        self.name, self.came = name, False

    def start(self, name: str, total: int | None, unit: str) -> Advance:
        return self.interrupt if name == self.name else lambda amount: None

    def interrupt(self, amount: int) -> None:
        self.came = True
        raise KeyboardInterrupt

    def finish(self, name: str) -> None:
        pass


@pytest.mark.parametrize("suffix", [".task", ".litertlm"])
@pytest.mark.parametrize("name", ["weights", "bundle", "hash checkpoint", "hash bundle"])
def test_ctrl_c_in_any_stage_leaves_nothing_behind(
    folder: Path, tmp_path: Path, name: str, suffix: str
) -> None:
    stop = Interrupt(name)
    with pytest.raises(KeyboardInterrupt), reporting(stop):
        build(folder, tmp_path / f"m{suffix}", prefill_lens=[8])

    assert stop.came
    assert list(tmp_path.iterdir()) == []
