"""The preview's page with MediaPipe's engine, as a user has it: process, browser, conversation."""

from __future__ import annotations

import dataclasses
import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edgegen.bundle import open_bundle, write_bundle
from edgegen.bundle.derive import edit_bundle
from tests.engines.browser_page import ENGINE_DIR, BrowserPage, browser_page
from tests.engines.contrast import assert_contrast
from tests.engines.mediapipe_web import texts_in_browser
from tests.signals import ORDINARY_SIGNALS

pytestmark = pytest.mark.web
# The software GPU errs on a busy machine; a page that is wrong is so each time.
on_software_gpu = pytest.mark.flaky(reruns=2)

STATE = "(states) => states.includes(document.body.dataset.state)"
MEASURED = "(n) => document.querySelectorAll('.stats .tokens').length === n"
# Keeps what the progress bar shows, in bytes.
WATCH_PROGRESS = """() => {
  globalThis.seen = [];
  const bar = document.querySelector('#progress');
  new MutationObserver(() => {
    if (bar.hasAttribute('value')) globalThis.seen.push(bar.value);
  }).observe(bar, { attributes: true });
}"""
LAST_ANSWER = ".message.model:last-child"
KV_CACHE_LEN = 512


@contextmanager
def preview(bundle: Path) -> Iterator[str]:
    """Run `edgegen preview` and yield its address; Ctrl-C must end it well."""
    command = [sys.executable, "-m", "edgegen", "preview", str(bundle), "--json", "--no-open"]
    with subprocess.Popen(
        [*ORDINARY_SIGNALS, *command, "--engine-dir", str(ENGINE_DIR)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, process.communicate()[1]
            yield json.loads(line)["url"]
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=30)
            assert process.returncode == 0, errors
        finally:
            process.kill()


@contextmanager
def opened(bundle: Path, *, gpu: bool = True) -> Iterator[tuple[BrowserPage, str]]:
    """Yield the preview's page and address; nothing may leave this machine or go wrong there."""
    with preview(bundle) as url, browser_page(gpu=gpu) as page:
        assert page.goto(url) == 200
        page.wait(STATE, ["ready", "failed"])
        yield page, url
        records = page.records()
        assert [each for each in records["requests"] if not each.startswith(url)] == []
        assert (records["console"], records["errors"], records["violations"]) == ([], [], [])


def be_greedy(page: BrowserPage, max_tokens: int) -> None:
    """Set the sampler, which starts the engine again."""
    page.fill("#max-tokens", str(max_tokens))
    page.fill("#top-k", "1")
    page.fill("#temperature", "0")
    page.blur("#temperature")
    page.wait(STATE, ["ready"])


def say(page: BrowserPage, text: str) -> None:
    page.fill("#prompt", text)
    page.press("Enter")


def rate(page: BrowserPage, name: str) -> float:
    return float(page.text(f"{LAST_ANSWER} .{name} b").removesuffix(" tokens/s"))


@on_software_gpu
def test_a_chat_says_what_the_engine_says(demo_task: Path) -> None:
    prompt, tokens = "ROMEO:\n", 16
    tokenizer = open_bundle(demo_task).tokenizer
    with opened(demo_task) as (page, url):
        assert page.text("#bundle-name") == demo_task.name
        assert "swiftshader" in page.text("#gpu").lower()
        assert "no prompt template" in page.text("#template-note")
        page.evaluate(WATCH_PROGRESS)
        be_greedy(page, tokens)
        size = demo_task.stat().st_size
        progress = page.evaluate("() => globalThis.seen")
        assert progress == sorted(progress)
        assert progress[-1] == size

        say(page, prompt)
        page.wait("() => document.querySelector('.message.model .text').textContent.length > 0")
        assert page.text("#status") == "Writing"
        assert re.fullmatch(r"\d+ pieces in [\d.]+ m?s", page.text(f"{LAST_ANSWER} .stats"))
        page.wait(MEASURED, 1)
        first = page.text(".message.model .text")
        inputs = 1 + len(tokenizer.encode(prompt))
        outputs = len(tokenizer.encode(first))
        assert page.text(f"{LAST_ANSWER} .tokens") == f"Tokens {inputs} in, {outputs} out"
        assert page.text("#context-text") == f"{inputs + outputs} of {KV_CACHE_LEN} tokens"
        assert page.evaluate("() => document.querySelector('#context').ariaValueNow") == str(
            inputs + outputs
        )
        assert page.text(f"{LAST_ANSWER} .ended") == "stopped at max tokens"
        seconds, unit = page.text(f"{LAST_ANSWER} .ttft b").split()
        first_s = float(seconds) / (1000 if unit == "ms" else 1)
        assert rate(page, "prefill") == pytest.approx(inputs / first_s, rel=0.02)
        assert rate(page, "decode") > 0
        spoken = page.evaluate("() => document.querySelector('#spoken').textContent")
        assert "".join(spoken.split()) == "".join(first.split())

        for scheme in ("light", "dark"):
            page.theme(scheme)
            page.evaluate(
                "() => document.querySelectorAll('details').forEach((d) => d.open = true)"
            )
            assert assert_contrast(page) > 40
        page.resize(360, 640)
        assert page.evaluate("() => document.body.scrollWidth") == 360
        assert f"{url}bundle.task" in page.records()["requests"]
    (said,) = texts_in_browser(demo_task, [prompt], max_tokens=KV_CACHE_LEN, output_tokens=tokens)
    assert first == said


@pytest.fixture(scope="module")
def chat_task(demo_task: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo bundle with a prompt template."""
    bundle = open_bundle(demo_task)
    folder = tmp_path_factory.mktemp("chat")
    offset, size = bundle.model_span
    model = folder / "model.tflite"
    with demo_task.open("rb") as file:
        file.seek(offset)
        model.write_bytes(file.read(size))
    parameters = dataclasses.replace(
        bundle.parameters,
        prompt_prefix_system="PROLOGUE:\n",
        prompt_suffix_system="\n\n",
        prompt_prefix_user="ROMEO:\n",
        prompt_suffix_user="\n\n",
        prompt_prefix_model="JULIET:\n",
        prompt_suffix_model="\n",
    )
    return write_bundle(model, bundle.tokenizer, parameters, folder / "chat.task").path


@on_software_gpu
def test_stop_and_a_second_turn(chat_task: Path) -> None:
    with opened(chat_task) as (page, _):
        page.fill("#system", "Two houses.")
        say(page, "Speak.")
        page.wait("() => document.querySelector('.message.model .text').textContent.length > 9")
        page.click("#stop")
        page.wait(MEASURED, 1)
        stopped = page.text(f"{LAST_ANSWER} .text")
        assert page.text(f"{LAST_ANSWER} .ended") == "stopped"
        start = "PROLOGUE:\nTwo houses.\n\nROMEO:\nSpeak.\n\nJULIET:\n"
        assert page.text(f"{LAST_ANSWER} .sent pre") == start

        say(page, "Again.")
        page.wait(f"() => document.querySelector('{LAST_ANSWER} .text').textContent.length > 0")
        page.press("Escape")
        page.wait(MEASURED, 2)
        second = f"{start}{stopped}\nROMEO:\nAgain.\n\nJULIET:\n"
        assert page.text(f"{LAST_ANSWER} .sent pre") == second
        counted = len(open_bundle(chat_task).tokenizer.encode(second)) + 1
        assert page.text(f"{LAST_ANSWER} .tokens").startswith(f"Tokens {counted} in, ")


STARTING = """() => Object.fromEntries(
  ['system', 'temperature', 'top-k', 'seed', 'max-tokens'].map(
    (id) => [id, document.getElementById(id).value]))"""


@on_software_gpu
def test_what_the_bundle_says_is_what_the_page_begins_with(demo_task: Path, tmp_path: Path) -> None:
    """METADATA's system prompt is put before by the engine: shown, counted, and there once."""
    said = {"system_prompt": "Two houses.\n", "do_sample": False, "max_output_tokens": 12}
    bundle = edit_bundle(demo_task, tmp_path / "said.task", parameters=said).bundle
    with opened(bundle.path) as (page, _):
        assert page.evaluate(STARTING) == {
            "system": "",
            "temperature": "0",
            "top-k": "1",
            "seed": "1",
            "max-tokens": "12",
        }
        assert "\u201cTwo houses.\n\u201d" in page.evaluate(
            "() => document.querySelector('#system-note').textContent"
        )
        say(page, "ROMEO:\n")
        page.wait(MEASURED, 1)
        assert page.evaluate(
            f"() => document.querySelector('{LAST_ANSWER} .sent pre').textContent"
        ) == ("Two houses.\nROMEO:\n")
        counted = len(bundle.tokenizer.encode("Two houses.\nROMEO:\n")) + 1
        assert page.text(f"{LAST_ANSWER} .tokens").startswith(f"Tokens {counted} in, ")
        answer = page.text(f"{LAST_ANSWER} .text")
        outputs = len(bundle.tokenizer.encode(answer))
        assert page.text("#context-text") == f"{counted + outputs} of {KV_CACHE_LEN} tokens"
    whole = ["Two houses.\nROMEO:\n"]
    (expected,) = texts_in_browser(demo_task, whole, max_tokens=KV_CACHE_LEN, output_tokens=12)
    assert answer == expected


def test_a_system_prompt_with_a_place_begins_in_the_settings(
    chat_task: Path, tmp_path: Path
) -> None:
    said = {"system_prompt": "Two houses.", "temperature": 7.33, "top_k": 2000, "seed": 5}
    bundle = edit_bundle(chat_task, tmp_path / "said.task", parameters=said).bundle
    with opened(bundle.path, gpu=False) as (page, _):
        assert page.evaluate(STARTING) == {
            "system": "Two houses.",
            "temperature": "7.33",
            "top-k": "2000",
            "seed": "5",
            "max-tokens": str(KV_CACHE_LEN),
        }
        # Whatever a bundle says, a message can be sent with it.
        assert page.evaluate("() => document.querySelector('#controls').checkValidity()")


@on_software_gpu
def test_a_new_chat_forgets_the_old_and_has_its_limits(chat_task: Path) -> None:
    with opened(chat_task) as (page, _):
        say(page, "Speak.")
        page.wait("() => document.querySelector('.message.model .text').textContent.length > 9")
        page.click("#new-chat")
        page.wait(STATE, ["ready"])
        assert page.text("#messages") == ""
        assert page.text("#context-text") == f"0 of {KV_CACHE_LEN} tokens"
        say(page, "To be, or not to be? " * 60)
        page.wait("() => !document.querySelector('#notice').hidden")
        assert f"room for {KV_CACHE_LEN} with the answer" in page.text("#notice")
        assert page.text("#messages") == ""
        assert page.evaluate("() => document.querySelector('#prompt').value").startswith("To be")
        assert page.evaluate("() => document.body.dataset.state") == "ready"

        tokenizer = open_bundle(chat_task).tokenizer
        words = tokenizer.decode(
            tokenizer.encode("To be, or not to be? " * 60)[: KV_CACHE_LEN - 30]
        )
        say(page, words)
        page.wait(MEASURED, 1)
        assert page.text(f"{LAST_ANSWER} .ended") == "the cache is full"
        used = int(page.text("#context-text").split()[0])
        assert abs(used - KV_CACHE_LEN) <= 2
        assert "full" in page.evaluate("() => document.querySelector('#context').className")


def test_an_unusable_bundle_shows_the_engines_words(demo_task_f32: Path) -> None:
    """Its GPU path takes no float32 embedding, and aborts."""
    with opened(demo_task_f32) as (page, _):
        assert page.text("#failure-title") == "MediaPipe\u2019s engine refuses this bundle"
        assert "EMBEDDING_LOOKUP: Unsupported external weights" in page.text("#failure-message")
        assert page.evaluate("() => document.querySelector('#send').disabled")
        for scheme in ("light", "dark"):
            page.theme(scheme)
            assert assert_contrast(page) > 20
        page.click("#retry")
        page.wait(STATE, ["loading"])
        page.wait(STATE, ["failed"])
        assert "EMBEDDING_LOOKUP" in page.text("#failure-message")


def test_without_a_gpu_the_page_says_so(demo_task: Path) -> None:
    with opened(demo_task, gpu=False) as (page, _):
        assert page.text("#failure-title") in (
            "The browser finds no GPU",
            "This browser has no WebGPU",
        )
        assert page.text("#failure-remedy")


def test_a_keyboard_reaches_everything_and_everything_has_a_name(demo_task: Path) -> None:
    with opened(demo_task, gpu=False) as (page, _):
        page.evaluate("() => document.querySelector('.skip').focus()")
        order = ["skip"]
        focused = "() => document.activeElement.id || document.activeElement.tagName"
        for _ in range(16):
            page.press("Tab")
            order.append(page.evaluate(focused))
        expected = "skip new-chat toggle-settings theme scroll retry prompt system temperature"
        assert order[:9] == expected.split()
        assert order[9:14] == ["top-k", "seed", "force-f32", "max-tokens", "SUMMARY"]

        nameless = [
            node
            for node in page.accessible()
            if node["focusable"] and not node["name"] and node["role"] != "RootWebArea"
        ]
        assert nameless == []
        roles = {node["role"] for node in page.accessible()}
        assert {"banner", "main", "complementary", "meter", "status", "alert"} <= roles

        page.click("#theme")
        assert page.evaluate("() => document.documentElement.dataset.theme") == "dark"
        page.evaluate("() => document.querySelector('#system').focus()")
        page.press("Escape")
        assert page.evaluate(focused) == "toggle-settings"
        assert page.evaluate("() => document.querySelector('#settings').hidden")


def test_the_contrast_that_is_computed_can_fail(demo_task: Path) -> None:
    """The negative control, on a page that is right but for one colour."""
    with opened(demo_task, gpu=False) as (page, _):
        assert_contrast(page)
        page.evaluate("() => { document.querySelector('#failure-title').style.color = '#ddd'; }")
        with pytest.raises(AssertionError):
            assert_contrast(page)
