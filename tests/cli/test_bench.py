from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgegen.cli import main

FEW = ["-p", "16", "-n", "8"]


@pytest.fixture(scope="module")
def folder(demo_task: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A benchmark of five repeats."""
    out = tmp_path_factory.mktemp("bench") / "a"
    assert main(["bench", str(demo_task), *FEW, "--out", str(out)]) == 0
    return out


def scaled(source: Path, target: Path, factor: float) -> Path:
    """Copy a benchmark with its rates multiplied."""
    target.mkdir()
    with (target / "records.jsonl").open("wb") as file:
        for line in (source / "records.jsonl").read_bytes().splitlines():
            changed = json.loads(line)
            for name in ("prefill_tokens_per_s", "decode_tokens_per_s"):
                changed["metrics"][name] *= factor
            file.write(f"{json.dumps(changed)}\n".encode())
    return target


def test_a_folder_keeps_rows_logs_and_series(folder: Path) -> None:
    rows = [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()]

    assert [row["phase"] for row in rows] == ["cold", "warmup", *["kept"] * 5]
    for row in rows:
        assert "XNNPACK" in (folder / row["log"]).read_text()
        assert "\ntime_s," in (folder / row["series"]).read_text()
    plan = json.loads((folder / "plan.json").read_text())
    assert plan["run_id"] == rows[0]["run_id"]
    assert [one["cell"] for one in plan["cells"]] == [rows[0]["cell"]]


def test_a_finished_folder_is_only_told(
    demo_task: Path, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = (folder / "records.jsonl").read_bytes()
    assert main(["bench", str(demo_task), *FEW, "--out", str(folder)]) == 0

    assert (folder / "records.jsonl").read_bytes() == before
    assert capfd.readouterr().err == f"note: 7 runs were in {folder} already, 0 are left\n"


@pytest.mark.parametrize(("factor", "status"), [(10.0, 3), (0.1, 0)])
def test_what_is_slower_than_the_baseline_has_a_status_of_its_own(
    demo_task: Path,
    folder: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    factor: float,
    status: int,
) -> None:
    baseline = scaled(folder, tmp_path / "baseline", factor)
    words = ["--out", str(folder), "--baseline", str(baseline), "--fail-if-slower", "5%"]
    assert main(["bench", str(demo_task), *FEW, *words]) == status

    err = capfd.readouterr().err
    assert ("is slower by more than 5.0%: " in err) == (status == 3)


def test_what_cannot_be_told_is_said_with_the_repeats_that_would(
    demo_task: Path, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ["--out", str(folder), "--baseline", str(folder), "--fail-if-slower", "0.001%"]
    assert main(["bench", str(demo_task), *FEW, *words]) == 0

    err = capfd.readouterr().err
    assert "may or may not be slower by more than 0.0%" in err
    assert "--repeats " in err


def test_a_cell_without_a_result_ends_with_status_1(
    demo_task: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ["--test", "pp8", "--timeout", "0.01", "--repeats", "1", "--json"]
    assert main(["bench", str(demo_task), *words]) == 1

    (row,) = json.loads(capfd.readouterr().out)["records"]
    assert row["failure"]["kind"] == "timed_out"
    assert row["metrics"] is None


def test_arguments_go_before_the_file(
    demo_task: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    matrix = tmp_path / "matrix.toml"
    matrix.write_text(
        f'bundles = "{demo_task}"\ntests = ["pp8", "pp16"]\nrepeats = 9\nthreads = [1, 2]\n'
    )
    words = ["--matrix", str(matrix), "--repeats", "1", "--threads", "1", "--json"]
    assert main(["bench", *words]) == 0

    rows = json.loads(capfd.readouterr().out)["records"]
    assert {(row["workload"], row["threads"]) for row in rows} == {("pp8", 1), ("pp16", 1)}
    assert len(rows) == 6


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "error: no bundle is named\nhint: name one, or a matrix: --matrix FILE.toml\n"),
        (
            ["m.task", "--fail-if-slower", "5%"],
            "error: --fail-if-slower has nothing to compare with\n"
            "hint: name it: --baseline FOLDER\n",
        ),
        (
            ["{}", "--test", "pp"],
            "error: 'pp' names no test\nhint: name prompt and answer lengths: pp512, tg128, "
            "pp512+tg128, pp512@d1024 (behind a context of 1024 tokens)\n",
        ),
        (
            ["{}", "--runner", "app"],
            "error: the runner app measures on a device, and 'host' is this machine\n"
            "hint: name a device, as edgegen devices lists them, or leave --runner out\n",
        ),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_runs(
    demo_task: Path, capfd: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert main(["bench", *(word.format(demo_task) for word in words)]) == 1
    assert capfd.readouterr().err == message


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--cpu-mask", "xyz"], "'xyz' is no mask of CPUs in hex, such as f0"),
        (["--fail-if-slower", "100%"], "100% is 100 % or more; write 5% or 0.05"),
        (["--fail-if-slower", "x%"], "'x' is not a number"),
        (["--delegate", "npu"], "invalid choice: 'npu'"),
    ],
)
def test_arguments_that_are_none_are_refused(
    capsys: pytest.CaptureFixture[str], words: list[str], says: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["bench", "model.task", *words])
    assert caught.value.code == 2
    assert says in capsys.readouterr().err
