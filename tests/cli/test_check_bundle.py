"""`edgegen check` on bundles; on folders tests/author/test_suitability.py has it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgegen import demo
from edgegen.bundle import GenerationParameters
from edgegen.bundle.doctor import BundleHealth, Finding
from edgegen.cli import main
from edgegen.report.doctor import render_health
from tests.bundle.doctor import plants


def test_a_good_bundle_ends_with_0(demo_task: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(demo_task), "--no-engines"]) == 0

    told = capsys.readouterr()
    assert told.err == ""
    assert "container      pass     a .task of " in told.out
    assert told.out.endswith(f"pass: {demo_task} (16 pass, 1 skipped)\n")


def test_a_bad_bundle_ends_with_1_and_says_what_to_do(
    demo_task: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = plants.changed(
        demo_task, tmp_path / "x.task", parameters=GenerationParameters("<s>", ("e",))
    )

    assert main(["check", str(path), "--only", "container,tokens,memory"]) == 1

    told = capsys.readouterr().out
    assert "tokens     fail     stop token 'e' is an ordinary piece" in told
    assert "what to do:\n  tokens: name the token that the model ends its texts with" in told
    assert told.endswith(f"fail: {path} (2 pass, 1 fail)\n")


def test_json(demo_task: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(demo_task), "--json", "--only", "prefill", "--deep"]) == 0

    told = json.loads(capsys.readouterr().out)
    assert told["schema"] == "edgegen.check/1"
    assert told["path"] == str(demo_task)
    assert told["verdict"] == "pass"
    (finding,) = told["findings"]
    assert finding["check"] == "prefill"
    assert set(finding) == {"check", "verdict", "reason", "hint"}


def test_the_cpu_is_asked(demo_task: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--only", "cpu", "--json", "--timeout", "200", "--memory", "8"]
    assert main(["check", str(demo_task), *words]) == 0

    taken, said = json.loads(capsys.readouterr().out)["findings"]
    assert "nodes of decode (9" in taken["reason"]
    assert "LiteRT-LM on cpu says what the TFLite interpreter says, " in said["reason"]


def test_an_engine_that_gets_no_time_is_a_failure(
    demo_task: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", str(demo_task), "--only", "cpu", "--timeout", "0.05", "--json"]) == 1

    (finding,) = json.loads(capsys.readouterr().out)["findings"]
    assert finding["reason"] == "the TFLite interpreter was not done after 0.05 s and was ended"


def test_a_file_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "absent.task"

    assert main(["check", str(path), "--only", "container", "--json"]) == 1

    (finding,) = json.loads(capsys.readouterr().out)["findings"]
    assert finding["reason"] == (
        f"bundle {path} does not exist, expected a .task or .litertlm file"
    )


def test_an_unknown_check(demo_task: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(demo_task), "--skip", "gpus"]) == 1

    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("error: there is no check 'gpus'\nhint: did you mean 'gpu'?")


@pytest.mark.parametrize(
    "words", [["--only", "gpu"], ["--no-engines"], ["--deep"], ["--engine-dir", "x"]]
)
def test_what_is_for_bundles_is_refused_for_folders(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["check", str(demo.CHECKPOINT), *words])

    assert caught.value.code == 2
    assert f"{words[0]} is for bundles, {demo.CHECKPOINT} is none" in capsys.readouterr().err


def test_names_in_a_bundle_cannot_take_over_a_terminal() -> None:
    finding = Finding("template", "fail", "ends with '\x1b[2J'", "see \x1b]0;x\x07")

    told = render_health(BundleHealth(Path("x.task"), (finding,)), terminal=False)

    assert "\x1b" not in told
    assert "ends with '\ufffd[2J'" in told


def test_findings_are_counted_and_the_gravest_is_the_verdict() -> None:
    findings = [Finding("a", v, "why") for v in ("pass", "skipped", "warn", "pass")]
    health = BundleHealth(Path("x.task"), tuple(findings))

    assert health.verdict == "warn"
    assert BundleHealth(Path("x.task"), (findings[1],)).verdict == "skipped"
    assert render_health(health, terminal=False).endswith(
        "warn: x.task (2 pass, 1 warn, 1 skipped)\n"
    )
