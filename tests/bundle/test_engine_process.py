"""The engine's process: ended when asked, and its log bounded."""

from __future__ import annotations

import tempfile
import threading
import time
from pathlib import Path

import pytest

from edgegen.bundle import engine_process
from edgegen.bundle.engine_output import BoundedLog, Output
from edgegen.bundle.engine_process import EngineTimeoutError
from edgegen.errors import EngineError

# Closes its answers and lives on, as an engine that is stuck in its end.
SILENT = "import os, sys, time; os.close(int(sys.argv[1])); time.sleep(600)"
CHATTER = (
    "import os, sys\nprint('first words', flush=True)\n"
    "for _ in range(64): os.write(1, b'again\\n' * 30_000)\n"
    "os.write(2, b'last words\\n')"
)


@pytest.mark.parametrize("timeout_s", [60.0, None])
def test_a_process_that_is_not_wanted_any_more_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, timeout_s: float | None
) -> None:
    monkeypatch.setattr(engine_process, "_START_CHILD", SILENT)
    cancel = threading.Event()
    began = time.monotonic()
    with engine_process.engine_process({}, timeout_s, cancel) as child:
        assert list(child.answers()) == []
        threading.Timer(0.3, cancel.set).start()
        assert child.wait() == -9
    assert time.monotonic() - began < 10


def test_a_process_that_does_not_end_is_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_process, "_START_CHILD", SILENT)
    with engine_process.engine_process({}, 0.5, threading.Event()) as child:
        assert list(child.answers()) == []
        with pytest.raises(EngineTimeoutError) as caught:
            child.wait()
    assert caught.value.message == "the engine was not done after 0.5 s and was ended"


def test_a_log_without_an_end_is_kept_at_both_ends(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(engine_process, "_START_CHILD", CHATTER)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with engine_process.engine_process({}, 60.0) as child:
        assert list(child.answers()) == []
        assert child.wait() == 0
        log = child.log
        assert list(tmp_path.iterdir()) == []  # nothing grows on a disk
    assert log.startswith("first words\nagain\n")
    assert log.endswith("again\nlast words\n")
    assert " bytes left out]\n" in log
    assert len(log) < 3 * 1024**2


def test_a_process_that_cannot_be_started_leaves_no_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/nonexistent/python")
    before = len(list(Path("/proc/self/fd").iterdir()))
    with (
        pytest.raises(FileNotFoundError),
        engine_process.engine_process({}, 1.0),
    ):
        pass
    for _ in range(50):  # the reader closes its own end
        if len(list(Path("/proc/self/fd").iterdir())) <= before:
            break
        time.sleep(0.1)
    assert len(list(Path("/proc/self/fd").iterdir())) <= before


def test_a_short_log_is_whole() -> None:
    log = BoundedLog()
    for piece in (b"one\r\n", b"two\xff\n", b""):
        log.add(piece)
    assert log.text() == "one\ntwo\\xff\n"


def test_output_without_a_process_is_empty() -> None:
    import os

    output = Output()
    os.close(output.childs_fd)
    output.wait()
    assert str(output) == ""


def test_without_the_package_nothing_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(EngineError) as caught, engine_process.engine_process({}, 1.0):
        pass
    assert caught.value.message == "LiteRT-LM is not installed, it runs bundles on this machine"
