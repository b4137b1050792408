"""The interpreter's continuation, with what an engine puts before every prompt."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edgegen.bundle import open_bundle
from edgegen.bundle.doctor import Settings, check_bundle
from edgegen.bundle.doctor import web as web_check
from edgegen.bundle.doctor.reference import (
    CPU_TIE,
    GENERATED,
    GPU_TIE,
    ask,
    compared,
    greedy_reference,
    spelled,
    start_ids,
)
from edgegen.bundle.doctor.subject import Subject
from edgegen.errors import EngineError
from tests.bundle.doctor import plants

BEFORE = "GLOUCESTER:\n"
NO_ROOM = "what the engine puts before every prompt leaves no room for 12 tokens in a cache of 512"
SHORTER = "give a shorter system prompt, or build with a longer --kv-cache-len"


def test_what_is_put_before_every_prompt_is_read_raw_before_it(demo_task: Path) -> None:
    subject = Subject(demo_task, Settings())

    alone = greedy_reference(subject, CPU_TIE)
    after = greedy_reference(subject, CPU_TIE, BEFORE)

    ids = start_ids(subject) + open_bundle(demo_task).tokenizer.encode(BEFORE + after.prompt)
    (said,) = ask(subject, [("greedy", {"ids": ids, "count": GENERATED})])
    assert list(after.ids) == said["ids"]
    assert not after.prompt.startswith(BEFORE)
    assert after != alone
    # Each is kept by itself.
    assert greedy_reference(subject, CPU_TIE) == alone


def test_an_engine_is_compared_with_what_follows_the_same_beginning(demo_task: Path) -> None:
    subject = Subject(demo_task, Settings())
    after = greedy_reference(subject, CPU_TIE, BEFORE)
    alone = greedy_reference(subject, CPU_TIE)
    sure = after.sure(CPU_TIE)
    text = spelled(subject, after.ids)

    right = compared(subject, text, "The engine", CPU_TIE, before=BEFORE)
    wrong = compared(subject, text, "The engine", CPU_TIE)

    apart = "" if sure == GENERATED else "; the next is a near tie"
    assert sure > 0
    assert (right.verdict, right.reason) == (
        "pass",
        f"The engine says what the TFLite interpreter says, {sure} greedy tokens: "
        f"{spelled(subject, after.ids[:sure])!r}{apart}",
    )
    expected = spelled(subject, alone.ids[: alone.sure(CPU_TIE)])
    assert (wrong.verdict, wrong.reason) == (
        "fail",
        f"The engine continues {alone.prompt!r} with {text!r}, the TFLite interpreter with "
        f"{expected!r}",
    )


def test_a_system_prompt_that_fills_the_cache_is_told(demo_task: Path) -> None:
    with pytest.raises(EngineError) as caught:
        greedy_reference(Subject(demo_task, Settings()), CPU_TIE, "my lord " * 300)

    assert caught.value.message == NO_ROOM
    assert caught.value.hint == SHORTER


def test_the_web_check_asks_about_the_system_prompt_in_metadata(
    demo_task: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The browser is left out: it is given the prompt alone, and puts the other before it."""
    parameters = replace(open_bundle(demo_task).parameters, system_prompt=BEFORE)
    subject = Subject(
        plants.changed(demo_task, tmp_path / "x.task", parameters=parameters), Settings()
    )
    after = greedy_reference(subject, GPU_TIE, BEFORE)
    prompts = []

    def browser(subject: Subject, _: object, prompt: str) -> dict[str, object]:
        prompts.append(prompt)
        return {"text": spelled(subject, after.ids), "ended": "engine", "gpu": "a GPU", "log": []}

    monkeypatch.setattr(web_check, "_what_is_missing", lambda _: None)
    monkeypatch.setattr(web_check, "_generate", browser)
    opened, said = web_check.web(subject)

    assert prompts == [after.prompt]
    assert opened.reason == "MediaPipe's web engine opens it on a GPU"
    assert said.verdict == "pass"
    sure = after.sure(GPU_TIE)
    assert said.reason.startswith(
        f"MediaPipe's web engine says what the TFLite interpreter says, {sure} greedy tokens: "
    )


def test_a_system_prompt_without_room_is_a_finding(
    demo_task: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parameters = replace(open_bundle(demo_task).parameters, system_prompt="my lord " * 300)
    path = plants.changed(demo_task, tmp_path / "x.task", parameters=parameters)
    monkeypatch.setattr(web_check, "_what_is_missing", lambda _: None)

    (finding,) = check_bundle(path, only=["web"]).findings

    assert (finding.verdict, finding.reason, finding.hint) == ("fail", NO_ROOM, SHORTER)
