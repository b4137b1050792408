"""Where in a model an operator stands, and what a machine has to ask about it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from edgegen.bundle import SentencePieceTokenizer, open_bundle
from edgegen.bundle.doctor import Limits
from edgegen.bundle.doctor.chromium import find_chromium, running_chromium
from edgegen.bundle.doctor.graph import read_graphs
from edgegen.bundle.doctor.operators import told_places
from edgegen.bundle.doctor.vulkan import software_vulkan
from edgegen.errors import EngineError
from tests.bundle.doctor import plants
from tests.bundle.doctor.models import Made
from tests.bundle.doctor.plants import Convert
from tests.engines.availability import engine_missing


def test_layers_are_told_by_the_caches_that_flow_in(demo_task: Path) -> None:
    graphs = {g.name: g for g in read_graphs(demo_task, open_bundle(demo_task).model_span)}
    decode = graphs["decode"]

    assert told_places(decode, "SOFTMAX") == "4, layer 0, layer 1, layer 2 and 1 more"
    assert told_places(decode, "COS") == "1, before the layers"
    assert told_places(decode, "GATHER_ND") == ""


def test_torchs_names_are_told_where_the_converter_kept_them(
    tmp_path: Path, tokenizer: SentencePieceTokenizer, converted: Convert
) -> None:
    path = plants.bundle(converted(Made()), tokenizer, tmp_path / "x.task")
    graphs = {g.name: g for g in read_graphs(path, open_bundle(path).model_span)}

    assert told_places(graphs["decode"], "EMBEDDING_LOOKUP") == (
        "1, before the layers; torch's Embedding_embed"
    )


def test_no_vulkan_where_there_is_no_chromium(tmp_path: Path) -> None:
    assert software_vulkan(tmp_path) is None


def test_the_driver_is_named_in_old_and_new_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = tmp_path / "vk_swiftshader_icd.json"
    driver.touch()
    monkeypatch.setattr("ctypes.util.find_library", lambda name: None)
    monkeypatch.setenv("LD_LIBRARY_PATH", "/before")

    assert software_vulkan(tmp_path) is None  # a driver and no loader
    (tmp_path / "libvulkan.so.1").touch()
    assert software_vulkan(tmp_path) == {
        "VK_DRIVER_FILES": str(driver),
        "VK_ICD_FILENAMES": str(driver),
        "LD_LIBRARY_PATH": f"{tmp_path}:/before",
    }


def test_a_browser_that_ends_at_once() -> None:
    with (
        running_chromium("/bin/true", Limits(timeout_s=30)) as browser,
        pytest.raises(EngineError, match=r"^the browser ended before it answered$"),
    ):
        browser.open("about:blank")


def test_a_browser_that_says_nothing(tmp_path: Path) -> None:
    program = tmp_path / "browser"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    started = time.monotonic()

    with (
        running_chromium(str(program), Limits(timeout_s=1)) as browser,
        pytest.raises(EngineError, match=r"^the browser was not done in time and was ended$"),
    ):
        browser.open("about:blank")

    assert time.monotonic() - started < 10


@pytest.mark.web
def test_what_a_page_throws_is_told() -> None:
    program = find_chromium()
    if program is None:
        engine_missing("no chromium on PATH: on Debian: apt-get install chromium")
    with running_chromium(program, Limits(timeout_s=120)) as browser:
        browser.open("about:blank")
        assert browser.evaluate("Promise.resolve([1, 'two'])") == [1, "two"]
        with pytest.raises(EngineError, match=r"^Error: such a thing$"):
            browser.evaluate("(async () => { throw new Error('such a thing') })()")
