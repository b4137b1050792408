"""The three verbs that need a bundle only, as a user types them."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from edgegen.bundle import GenerateRequest, generate
from edgegen.cli import main


def greedy(bundle: Path, prompt: str, tokens: int = 12) -> str:
    return generate(bundle, GenerateRequest(prompt, max_output_tokens=tokens)).result().text


def test_run_streams_the_text_to_stdout(demo_task: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(demo_task), "To be", "--max-tokens", "12"]) == 0

    out, err = capfd.readouterr()
    assert out == greedy(demo_task, "To be") + "\n"
    assert err == ""


def test_a_prompt_that_is_not_utf8_is_refused(
    demo_task: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"caf\xe9")))
    assert main(["run", str(demo_task), "-"]) == 1
    error, hint = capsys.readouterr().err.splitlines()
    assert error == "error: the prompt on stdin is not UTF-8 text: byte 3 cannot be read"
    assert hint.startswith("hint: ")


def test_run_reads_the_prompt_from_stdin(
    demo_task: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"To be")))
    assert main(["run", str(demo_task), "-", "--raw", "--max-tokens", "12"]) == 0

    assert capfd.readouterr().out == greedy(demo_task, "To be") + "\n"


def test_run_prints_one_json_value(demo_task: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(demo_task), "To be", "--max-tokens", "12", "--json"]) == 0

    told = json.loads(capfd.readouterr().out)
    assert told["text"] == greedy(demo_task, "To be")
    assert told["output_tokens"] == 12
    assert told["finish"] == "max_output_tokens"
    assert told["peak_rss_bytes"] > 0


def test_run_shows_the_engines_log_when_asked(demo_task: Path) -> None:
    command = [sys.executable, "-m", "edgegen", "run", str(demo_task), "To be", "--max-tokens", "2"]
    done = subprocess.run([*command, "-v"], capture_output=True, text=True, check=True)

    assert "TfLiteXNNPackDelegate" in done.stderr
    assert done.stdout == greedy(demo_task, "To be", 2) + "\n"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--top-k", "0"], "argument --top-k: 0 is out of range, expected 1 or more"),
        (["--top-k", "many"], "argument --top-k: 'many' is not a whole number"),
        (["--top-p", "1.01"], "argument --top-p: 1.01 is not between 0 and 1"),
        (["--top-p", "nan"], "argument --top-p: nan is not a finite number"),
        (["--temperature", "-1"], "argument --temperature: -1 is negative, expected 0 or more"),
        (["--temperature", "hot"], "argument --temperature: 'hot' is not a number"),
        (["--max-tokens", "0"], "argument --max-tokens: 0 is out of range"),
        (["--seed", "-1"], "argument --seed: -1 is out of range, expected 0 to 2147483647"),
        (["--timeout", "0"], "argument --timeout: 0 is not above 0"),
        (["--delegate", "npu"], "argument --delegate: invalid choice: 'npu'"),
    ],
)
def test_wrong_arguments_end_with_status_2(
    capsys: pytest.CaptureFixture[str], options: list[str], says: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["run", "model.task", "prompt", *options])

    assert caught.value.code == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize("verb", [["run", "{}", "x"], ["bench", "{}"], ["inspect", "{}"]])
def test_a_missing_bundle_ends_with_status_1_and_a_hint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: list[str]
) -> None:
    path = tmp_path / "none.task"
    assert main([word.format(path) for word in verb]) == 1

    out, err = capsys.readouterr()
    assert out == ""
    assert (
        err == f"error: bundle {path} does not exist, expected a .task or .litertlm file\n"
        "hint: check the path\n"
    )


def test_bench_prints_a_table(demo_task: Path, capfd: pytest.CaptureFixture[str]) -> None:
    arguments = ["-p", "32", "-n", "8", "--repeats", "2"]
    assert main(["bench", str(demo_task), *arguments]) == 0

    out, err = capfd.readouterr()
    assert out.startswith(f"{demo_task.name}, pp32+tg8, CPU on ")
    rows = ("initialization, cold", "time to first token", "prefill", "decode", "peak memory")
    for row in rows:
        assert f"\n{row} " in out
    assert err == ""


def test_bench_prints_one_json_value(demo_task: Path, capfd: pytest.CaptureFixture[str]) -> None:
    arguments = ["-p", "32", "-n", "8", "--repeats", "2", "--threads", "1", "--json"]
    assert main(["bench", str(demo_task), *arguments]) == 0

    told = json.loads(capfd.readouterr().out)
    assert list(told) == ["run_id", "records", "summaries", "comparison"]
    assert [row["phase"] for row in told["records"]] == ["cold", "warmup", "kept", "kept"]
    assert {row["run_id"] for row in told["records"]} == {told["run_id"]}
    (cell,) = told["summaries"]
    assert (cell["workload"], cell["threads"], cell["kept"]) == ("pp32+tg8", 1, 2)


def test_bench_refuses_counts_that_do_not_fit(
    demo_task: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", str(demo_task), "-p", "512"]) == 1

    assert "do not fit the KV cache of 512\nhint: ask for at most 512" in capsys.readouterr().err


def test_inspect_prints_tables(demo_task: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(demo_task)]) == 0

    assert "kv_cache_len 512" in capsys.readouterr().out


def test_inspect_prints_one_json_value(demo_task: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(demo_task), "--json"]) == 0

    assert json.loads(capsys.readouterr().out)["prefill_lens"] == [16, 32, 128]


def test_a_reader_that_leaves_ends_run_quietly(demo_task: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "edgegen", "run", str(demo_task), "To be", "--max-tokens", "400"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1
