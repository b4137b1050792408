"""`edgegen demo`: built once for real, then shown both ways."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgegen import demo, pipeline
from edgegen.cli import main

_build = pipeline.build


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> list[pipeline.Build]:
    """Every build that the demo has made; the tests below share one."""
    return []


@pytest.fixture(autouse=True)
def build_once(built: list[pipeline.Build], monkeypatch: pytest.MonkeyPatch) -> None:
    def build(*arguments: Any, **options: Any) -> pipeline.Build:
        if not built:
            built.append(_build(*arguments, **options))
        return built[0]

    monkeypatch.setattr(pipeline, "build", build)


def test_the_demo_builds_writes_and_measures(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], built: list[pipeline.Build]
) -> None:
    output = tmp_path / "new" / "demo.task"
    assert main(["demo", "-o", str(output)]) == 0

    out, err = capfd.readouterr()
    path = built[0].bundle.path
    built_part, run_part, bench_part = out.split("\n$ edgegen ")
    assert "self-check passed" in built_part
    assert run_part.startswith(f"run {path} ")
    assert run_part.partition(demo.PROMPT)[2].strip()
    assert bench_part.startswith(f"bench {path}\n")
    assert "tokens/s" in bench_part
    assert err == ""


def test_the_demo_prints_one_json_value(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], built: list[pipeline.Build]
) -> None:
    assert main(["demo", "-o", str(tmp_path / "demo.task"), "--json"]) == 0

    told = json.loads(capfd.readouterr().out)
    assert sorted(told) == ["bench", "build", "run"]
    assert told["build"]["bundle"] == str(built[0].bundle.path)
    assert told["run"]["output_tokens"] > 0
    assert told["bench"]["kept"] == 3
