from __future__ import annotations

import json
import shutil
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
    assert ("of the baseline's, worse by more than 5 %\n" in err) == (status == 3)


def test_what_cannot_be_told_is_said_with_the_repeats_that_would(
    demo_task: Path, folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    baseline = scaled(folder, tmp_path / "baseline", 1.0)
    words = ["--out", str(folder), "--baseline", str(baseline), "--fail-if-slower", "0.001%"]
    assert main(["bench", str(demo_task), *FEW, *words]) == 0

    err = capfd.readouterr().err
    assert " may be worse by more than 0.001 %\n" in err
    assert ": to decide, " in err


def test_cells_of_the_baseline_that_were_not_asked_for_are_no_loss(
    demo_task: Path, folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    baseline = scaled(folder, tmp_path / "baseline", 0.1)
    rows = (baseline / "records.jsonl").read_text().splitlines()
    with (baseline / "records.jsonl").open("a") as file:
        for row in map(json.loads, rows):
            file.write(json.dumps(row | {"cell": "other", "threads": 7}) + "\n")
    words = ["--baseline", str(baseline), "--fail-if-slower", "5%"]
    assert main(["bench", str(demo_task), *FEW, "--out", str(folder), *words]) == 0

    lines = capfd.readouterr().err.splitlines()
    assert [line for line in lines if "only in the baseline" in line and "7 threads" in line]
    # What is shown of benchmarks that somebody names is another thing.
    assert main(["report", str(folder), *words]) == 3


def test_results_that_were_lost_fail(
    demo_task: Path, folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """As many runs as before, of which one alone tells its rates."""
    baseline = scaled(folder, tmp_path / "baseline", 1.0)
    lost = shutil.copytree(folder, tmp_path / "lost")
    rows = [json.loads(line) for line in (lost / "records.jsonl").read_text().splitlines()]
    for row in rows[:-1]:
        row["metrics"] |= {"decode_tokens_per_s": None}
    (lost / "records.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ["--out", str(lost), "--baseline", str(baseline), "--fail-if-slower", "90%"]
    assert main(["bench", str(demo_task), *FEW, *words]) == 3

    assert ": decode: 1 results, the baseline has 5\n" in capfd.readouterr().err


def test_nothing_to_compare_is_no_pass(
    demo_task: Path, folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    baseline = scaled(folder, tmp_path / "baseline", 1.0)
    rows = (baseline / "records.jsonl").read_text().replace('"threads": null', '"threads": 7')
    (baseline / "records.jsonl").write_text(rows)
    words = ["--out", str(folder), "--baseline", str(baseline), "--fail-if-slower", "5%"]
    assert main(["bench", str(demo_task), *FEW, *words]) == 1

    assert capfd.readouterr().err.endswith(
        "error: no cell of the baseline could be compared with one of this benchmark\n"
        "hint: device, runner, delegate, workload and settings must be the same, with 2 results "
        "of each at least\n"
    )


def test_two_bundles_are_measured_in_turns_and_compared(
    demo_task: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    other = Path(shutil.copy(demo_task, tmp_path / "other.task"))
    words = [str(demo_task), str(other), *FEW, "--repeats", "2", "--json"]
    assert main(["bench", *words, "--baseline-bundle", "other.task"]) in (0, 1)

    (found,) = json.loads(capfd.readouterr().out)["comparison"]
    assert (found["baseline"], found["candidate"]) == ("other.task", demo_task.name)
    (cell,) = found["cells"]
    assert cell["interleaved"]


def test_a_cell_without_a_result_ends_with_status_1(
    demo_task: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ["--test", "pp8", "--timeout", "0.01", "--repeats", "1", "--json"]
    assert main(["bench", str(demo_task), *words]) == 1

    rows = json.loads(capfd.readouterr().out)["records"]
    assert {row["failure"]["kind"] for row in rows} == {"timed_out"}
    assert {row["metrics"] for row in rows} == {None}


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
            "error: --fail-if-slower compares with nothing\n"
            "hint: name a --baseline RUN, or a --baseline-bundle NAME of the same benchmark\n",
        ),
        (
            ["{}", "--out", "x", "--baseline", "x"],
            "error: x would be compared with itself\nhint: name another benchmark, or one bundle "
            "of this one: --baseline-bundle NAME\n",
        ),
        (
            ["{}", "--baseline", "nowhere"],
            "error: nowhere is no folder and no records.jsonl\n"
            "hint: measure first: edgegen bench ... --out FOLDER\n",
        ),
        (
            ["a.task", "b.task", "--baseline-bundle", "c.task"],
            "error: no bundle to measure is called 'c.task'\n"
            "hint: name one of them: a.task, b.task\n",
        ),
        (
            ["a.task", "--baseline-bundle", "a.task"],
            "error: nothing is measured beside 'a.task'\n"
            "hint: name two bundles, which are then measured in turns\n",
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
        (["--fail-if-slower", "100%"], "100% is out of range, expected 0% to below 100%"),
        (["--fail-if-slower", "x%"], "'x%' is no share, expected 5% or 0.05"),
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
