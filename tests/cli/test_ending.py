"""Ends from outside: signals. What was begun is cleaned up, and the status says which."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import uuid
from pathlib import Path

import pytest

from edgegen.cli import main
from tests.processes import processes_with, wait_for
from tests.signals import ORDINARY_SIGNALS
from tests.test_light_start import FAKE_VERB, python


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (signal.SIGINT, "interrupted"),
        (signal.SIGTERM, "ended by SIGTERM"),
        (signal.SIGHUP, "ended by SIGHUP"),
    ],
)
def test_a_benchmark_that_is_ended_leaves_nothing(
    demo_task: Path, tmp_path: Path, number: signal.Signals, says: str
) -> None:
    bundle, temporary = tmp_path / "model.task", tmp_path / "tmp"
    bundle.write_bytes(demo_task.read_bytes())
    temporary.mkdir()
    mark = f"EDGEGEN_TEST_MARK={uuid.uuid4()}"
    with subprocess.Popen(
        [
            *ORDINARY_SIGNALS,
            sys.executable,
            "-m",
            "edgegen",
            "bench",
            str(bundle),
            "--repeats",
            "999",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **dict([mark.split("=")]), "TMPDIR": str(temporary)},
    ) as process:
        try:
            assert wait_for(lambda: len(processes_with(mark)) == 2, timeout_s=30)
            process.send_signal(number)
            _, errors = process.communicate(timeout=30)
        finally:
            process.kill()

    assert process.returncode == 128 + number
    assert errors == (
        f"error: {says}\nhint: nothing was left half-written; run the command again\n"
    )
    assert wait_for(lambda: processes_with(mark) == [])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.task", "tmp"]
    assert list(temporary.iterdir()) == []


def fake_verb(body: str) -> str:
    return FAKE_VERB.format(body=body.replace("\n", "\n    "))


def test_a_repeat_does_not_cut_the_cleaning_up_short() -> None:
    """A terminal that closes says so twice: its own SIGHUP and its shell's."""
    done = python(
        fake_verb(
            "import os, signal, time\n"
            "try:\n    os.kill(os.getpid(), signal.SIGHUP); time.sleep(60)\n"
            "finally:\n    os.kill(os.getpid(), signal.SIGHUP); time.sleep(0.1); print('cleaned')"
        )
    )
    assert done.returncode == 128 + signal.SIGHUP
    assert done.stdout == "cleaned\n"
    assert done.stderr.startswith("error: ended by SIGHUP\n")


def test_a_later_signal_ends_a_cleaning_up_that_hangs() -> None:
    done = python(
        fake_verb(
            "import os, signal, time\n"
            "try:\n    os.kill(os.getpid(), signal.SIGHUP); time.sleep(60)\n"
            "finally:\n    time.sleep(2.1); os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)"
        )
    )
    assert done.returncode == 128 + signal.SIGTERM


def test_an_ignored_signal_stays_ignored() -> None:
    """`nohup` works by that."""
    ignore = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
    done = python(
        ignore + fake_verb("import os, signal\nos.kill(os.getpid(), signal.SIGHUP)\nreturn 0")
    )
    assert done.returncode == 0, done.stderr


def test_a_terminal_that_is_gone_changes_no_status() -> None:
    """Nothing can be told any more, but the shell still asks for the status."""
    done = python(
        fake_verb(
            "import os, signal, time\n"
            "print('rest', end='')\n"
            "full = os.open('/dev/full', os.O_WRONLY)\n"
            "os.dup2(full, 1); os.dup2(full, sys.stderr.fileno()); os.dup2(full, 2)\n"
            "os.kill(os.getpid(), signal.SIGHUP); time.sleep(60)"
        )
    )
    assert done.returncode == 128 + signal.SIGHUP


def test_ctrl_c_while_the_verb_is_loaded_is_no_traceback() -> None:
    done = python(
        "import sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'edgegen.cli.run':\n"
        "            raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Finder())\n"
        "from edgegen.cli import main\n"
        "raise SystemExit(main(['run', 'm.task', 'x']))\n"
    )
    assert done.returncode == 130
    assert done.stderr.startswith("error: interrupted\n")
    assert "Traceback" not in done.stderr


def test_an_embedders_handlers_are_as_before(capsys: pytest.CaptureFixture[str]) -> None:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    assert main(["list", "runners"]) == 0
    assert [signal.getsignal(number) for number in numbers] == before


def test_other_threads_may_call_it(capsys: pytest.CaptureFixture[str]) -> None:
    """Python lets only the main thread set handlers."""
    statuses: list[int] = []
    thread = threading.Thread(target=lambda: statuses.append(main(["list", "runners"])))
    thread.start()
    thread.join()
    assert statuses == [0]
