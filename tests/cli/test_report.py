"""`edgegen report`: what it prints and writes, and how it ends."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from edgegen.cli import main
from edgegen.report.bench import read_records
from tests.report.bench.examples import BUNDLE, record, runs, write_run


@pytest.fixture(scope="module")
def fast_and_slow(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    base = tmp_path_factory.mktemp("cli-report")
    fast = write_run(base / "fast", runs(seed=3, kept=10, failures=False))
    return fast, write_run(base / "slow", runs(seed=4, kept=10, speed=0.7, failures=False))


def test_a_table_and_files(
    fast_and_slow: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["html", "markdown", "csv", "csv-cells", "jsonl", "llama-bench", "manifest"]
    words = [word for name in options for word in (f"--{name}", str(tmp_path / name))]
    assert main(["report", str(fast_and_slow[0]), *words, "--repo", "me/x"]) == 0
    said = capsys.readouterr()

    assert "qwen3-0.6b-int8.litertlm" in said.out
    assert said.err == "".join(f"wrote {tmp_path / name}\n" for name in options)
    assert all((tmp_path / name).stat().st_size > 500 for name in options)
    assert (tmp_path / "html").read_text().startswith("<!doctype html>")


def test_json_and_stdout(
    fast_and_slow: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    fast, slow = map(str, fast_and_slow)
    assert main(["report", slow, "--baseline", fast, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert len(told["cells"]) == len(told["comparison"][0]["cells"]) == 8
    assert main(["report", fast, "--markdown", "-"]) == 0
    assert capsys.readouterr().out.startswith("# Benchmark\n")


def test_what_is_slower_ends_with_3_and_what_is_not_with_0(
    fast_and_slow: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    fast, slow = map(str, fast_and_slow)
    assert main(["report", slow, "--baseline", fast, "--fail-if-slower", "5%"]) == 3
    assert "slower: qwen3-0.6b-int8.litertlm, pp512+tg128, CPU, 4 threads on " in (
        capsys.readouterr().err
    )
    assert main(["report", fast, "--baseline", slow, "--fail-if-slower", "0.05"]) == 0
    assert "slower: " not in capsys.readouterr().err


def test_the_same_runs_are_not_slower(
    fast_and_slow: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fast = fast_and_slow[0]
    copy = shutil.copytree(fast, tmp_path / "copy")
    assert main(["report", str(fast), "--baseline", str(copy), "--fail-if-slower", "5%"]) == 0


def test_lost_results_end_with_3(
    fast_and_slow: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fast = fast_and_slow[0]
    rows = [(row, "") for row in read_records(fast) if row.delegate == "cpu"]
    cpu = write_run(tmp_path / "cpu", [(replace(row, series=None), csv) for row, csv in rows])
    words = ["report", str(cpu), "--baseline", str(fast), "--fail-if-slower", "5%"]

    assert main(words) == 3
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(": ")[0] for line in lines if "only in the baseline" in line] == [
        "lost"
    ] * 4


def test_a_bundle_is_compared_with_another_of_its_benchmark(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = replace(BUNDLE, name="new.litertlm", sha256="77" * 32)
    rows = runs(seed=3, failures=False) + runs(seed=4, speed=0.5, bundle=new, failures=False)
    ab = str(write_run(tmp_path / "ab", rows))

    assert main(["report", ab, "--baseline-bundle", BUNDLE.name, "--fail-if-slower", "5%"]) == 3
    said = capsys.readouterr()
    assert f"beside {BUNDLE.name}:" in said.out
    assert "slower: new.litertlm, pp512+tg128, CPU, 4 threads on " in said.err
    words = ["report", ab, "--baseline-bundle", "new.litertlm", "--fail-if-slower", "5%"]
    assert main(words) == 0


def test_what_a_manifest_leaves_out_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = replace(record().engine, gpu_adapter="SwiftShader")
    rows = [record(), record(engine=engine, delegate="gpu", cell="x")]
    folder = write_run(tmp_path / "a", [(row, "") for row in rows])
    assert main(["report", str(folder), "--manifest", "-", "--repo", "a/b"]) == 0
    said = capsys.readouterr()

    assert json.loads(said.out)["variants"][0]["backends"] == ["cpu"]
    assert said.err == (
        "note: qwen3-0.6b-int8.litertlm, pp512+tg128, GPU, 4 threads on Google Pixel 8a is left "
        "out of the manifest: this GPU is emulated in software\n"
    )


def errors(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["report", *words]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    return said.err


def test_what_cannot_be_done_is_told(
    fast_and_slow: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fast = str(fast_and_slow[0])
    taken = tmp_path / "taken"
    taken.touch()

    assert errors([fast, "--fail-if-slower", "5%"], capsys) == (
        "error: --fail-if-slower compares with nothing\n"
        "hint: name a --baseline RUN, or a --baseline-bundle NAME of the same benchmark\n"
    )
    assert errors([fast, "--baseline", fast], capsys) == (
        f"error: {fast} would be compared with itself\n"
        "hint: name another benchmark, or one bundle of this one: --baseline-bundle NAME\n"
    )
    assert errors([fast, "--manifest", "x"], capsys) == (
        "error: --manifest does not know where the bundles are published\n"
        "hint: add --repo OWNER/NAME\n"
    )
    assert errors([fast, "--json", "--html", "-"], capsys) == (
        "error: more than one result was asked for on stdout\nhint: name files for the others\n"
    )
    assert errors([fast, "--html", str(taken)], capsys) == (
        f"error: output {taken} exists\nhint: pass --force to replace it, or choose another name\n"
    )
    assert main(["report", fast, "--html", str(taken), "--force"]) == 0


def test_nothing_to_compare_is_no_pass(
    fast_and_slow: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = write_run(tmp_path / "other", [(replace(record(), threads=1), "")])
    words = [str(fast_and_slow[0]), "--baseline", str(other), "--fail-if-slower", "5%"]
    assert main(["report", *words]) == 1
    assert capsys.readouterr().err == (
        "error: no cell of the baseline could be compared with one of this benchmark\n"
        "hint: device, runner, delegate, workload and settings must be the same, with 2 results "
        "of each at least\n"
    )


@pytest.mark.parametrize(
    ("share", "why"),
    [
        ("x", "'x' is no share, expected 5% or 0.05"),
        ("100%", "100% is out of range, expected 0% to below 100%"),
        ("nan", "nan is out of range, expected 0% to below 100%"),
    ],
)
def test_a_share_that_is_none(share: str, why: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["report", "x", "--baseline", "y", "--fail-if-slower", share])
    assert ended.value.code == 2
    assert f"argument --fail-if-slower: {why}\n" in capsys.readouterr().err
