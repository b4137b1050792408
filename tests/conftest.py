"""Bundles of the shipped model, built once for all tests that need one."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

from edgegen import demo
from tests.engines.swiftshader import swiftshader_environment

# Third parties print and phone home by default; tests want neither.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# The models here are tiny: with two threads torch spends most of its time waking the other one.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# How long an example takes says something about the machine, and nothing about the code.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have tests on Vulkan in software repeated where they fail.

    On a busy machine about one generation in ten comes out wrong there, from any token on: of
    75 of one bundle, three processes at a time on two cores, 8; of 16 alone none. A graph that is
    wrong is so each time.
    """
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.flaky(reruns=2, only_rerun=["AssertionError"]))


@pytest.fixture(scope="session", autouse=True)
def _skeletons(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep traced graphs for all tests of a run, whichever process runs them, and for no other."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    os.environ["EDGEGEN_CACHE_DIR"] = str(base / "skeletons")


@pytest.fixture
def nothing_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every model traced, as if none had been before."""
    monkeypatch.setenv("EDGEGEN_CACHE_DIR", "")


@pytest.fixture(scope="session")
def demo_bundle(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The shipped model as a `.task`, for each recipe; built when first asked for."""
    folder = tmp_path_factory.mktemp("demo")

    @functools.cache
    def build_once(recipe: str) -> Path:
        from edgegen.pipeline import build

        made = build(
            demo.CHECKPOINT,
            folder / f"{recipe}.task",
            prefill_lens=demo.PREFILL_LENS,
            kv_cache_len=demo.KV_CACHE_LEN,
            recipe=recipe,
        )
        return made.bundle.path

    return build_once


@pytest.fixture(scope="session")
def demo_task(demo_bundle: Callable[[str], Path]) -> Path:
    """The int8 demo bundle."""
    return demo_bundle("dynamic_wi8_afp32")


@pytest.fixture(scope="session")
def demo_task_f32(demo_bundle: Callable[[str], Path]) -> Path:
    """The float32 demo bundle."""
    return demo_bundle("none")


@pytest.fixture
def software_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the GPU delegate find Vulkan in software, and no other driver."""
    for name, value in swiftshader_environment().items():
        monkeypatch.setenv(name, value)
