from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from edgegen.bundle.doctor import Limits, Settings
from edgegen.bundle.doctor.children import run_child
from edgegen.bundle.doctor.reference import ask
from edgegen.bundle.doctor.subject import Subject
from edgegen.errors import EngineError

CHILD = "tests.bundle.doctor.misbehaving"


def test_answers_and_log_come_apart() -> None:
    ended = run_child(CHILD, {"do": "done"}, Limits(), {"EDGEGEN_TEST_WORD": "hello"})

    assert ended.last("done") == 1
    assert ended.last("environment") == "hello"
    assert ended.last("missing") is None
    assert ended.log == "said on stdout\n"
    assert (ended.returncode, ended.out_of_time) == (0, False)


def test_an_abort_is_told_and_not_shared() -> None:
    ended = run_child(CHILD, {"do": "abort"}, Limits())

    assert ended.returncode == -signal.SIGABRT
    assert ended.last("pid") is not None


@pytest.mark.parametrize("how", ["hang", "hang deaf"])
def test_what_hangs_is_ended_in_time(how: str) -> None:
    started = time.monotonic()

    ended = run_child(CHILD, {"do": how}, Limits(timeout_s=1.5))

    assert ended.out_of_time
    assert time.monotonic() - started < 10
    if ended.answers:
        with pytest.raises(ProcessLookupError):
            os.kill(ended.last("pid"), 0)


def test_memory_is_limited() -> None:
    ended = run_child(CHILD, {"do": "eat"}, Limits(timeout_s=60, memory_bytes=300 * 1024**2))

    assert ended.returncode == 1
    assert "MemoryError" in ended.log


def test_half_an_answer_is_none() -> None:
    ended = run_child(CHILD, {"do": "half"}, Limits())

    assert ended.last("done") is None
    assert ended.returncode == 3


def test_the_interpreter_that_takes_too_long(demo_task: Path) -> None:
    subject = Subject(demo_task, Settings(limits=Limits(timeout_s=0.05)))

    with pytest.raises(EngineError) as caught:
        ask(subject, [("score", {"ids": [1, 2, 3]})])

    assert caught.value.message == (
        "the TFLite interpreter was not done after 0.05 s and was ended"
    )
    assert caught.value.hint == "allow more --timeout"


def test_the_interpreter_that_gets_too_little_memory(demo_task: Path) -> None:
    subject = Subject(demo_task, Settings(limits=Limits(memory_bytes=20 * 1024**2)))

    with pytest.raises(EngineError, match=r"^the TFLite interpreter ended with ") as caught:
        ask(subject, [("score", {"ids": [1, 2, 3]})])

    assert caught.value.hint == "what the other checks say of the model may be why"
