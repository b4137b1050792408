"""What `edgegen tune` asks of the search, and what it prints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgegen import demo
from edgegen.cli import main
from edgegen.convert.spec import ExportSpec
from edgegen.tuning import (
    DEFAULT_TOKENS,
    DEFAULT_WEIGHTS,
    Budget,
    RecipeQuality,
    Sensitivity,
    TunedWeight,
    Tuning,
)
from edgegen.verification import TEXT

FOUND = Tuning(
    checkpoint=Path("hf"),
    output=Path("mine.json"),
    budget=Budget("bits_per_weight", 4.5),
    spec=ExportSpec(),
    tokens=129,
    tuned=RecipeQuality("tuned", 1000, 4.5, 2**21, 0.0071, 0.0074, 0.907),
    uniform=(RecipeQuality("int8", 2000, 9.0, 2**22, 5e-5, 5.1e-5, 1.0),),
    weights=(TunedWeight("a.weight", 100, "int8", (Sensitivity("int8", 110, 0.1, 0.2),)),),
)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
    """What the search was asked; it finds `FOUND`."""
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def search(*arguments: Any, **options: Any) -> Tuning:
        calls.append((arguments, options))
        return FOUND

    monkeypatch.setattr("edgegen.tuning.tune", search)
    return calls


Asked = list[tuple[tuple[Any, ...], dict[str, Any]]]


@pytest.mark.parametrize(
    ("words", "budget"),
    [
        (("--target-bpw", "4.5"), Budget("bits_per_weight", 4.5)),
        (("--max-size", "900MiB"), Budget("tflite_bytes", 900 * 2**20)),
        (("--max-size", "1.5 GB"), Budget("tflite_bytes", 1_500_000_000)),
        (("--max-size", "123456"), Budget("tflite_bytes", 123_456)),
        (("--max-kl", "0.01"), Budget("kl", 0.01)),
    ],
)
def test_each_budget_is_what_was_said(asked: Asked, words: tuple[str, ...], budget: Budget) -> None:
    assert main(["tune", "hf", "-o", "mine.json", *words]) == 0
    (arguments, options) = asked[0]
    assert arguments == (Path("hf"), Path("mine.json"), budget)
    assert options == {
        "weights": DEFAULT_WEIGHTS,
        "text": TEXT,
        "tokens": DEFAULT_TOKENS,
        "prefill_lens": None,
        "force": False,
    }


def test_the_other_options_reach_the_search(asked: Asked, tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("Überall")
    words = ["--text", str(tmp_path / "t.txt"), "--tokens", "64", "--weights", "int4, int8"]
    words += ["--prefill", "16,64", "--force"]
    assert main(["tune", "hf", "-o", "m.json", "--max-kl", "1", *words]) == 0
    assert asked[0][1] == {
        "weights": ("int4", "int8"),
        "text": "Überall",
        "tokens": 64,
        "prefill_lens": (16, 64),
        "force": True,
    }


def test_the_table_and_the_json(asked: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["tune", "hf", "-o", "mine.json", "--target-bpw", "4.5"]
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "hf, 129 tokens, prefill 16, 128, 512"
    assert lines[2].split() == ["tuned", "4.500", "2.00", "MiB", "0.0071", "0.0074", "90.7%"]
    assert lines[3].split()[:2] == ["int8", "9.000"]
    assert lines[4] == "mine.json: 1 as int8"

    assert main([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == json.loads(json.dumps(FOUND.as_dict()))
    assert told["schema"] == "edgegen.tuning/1"
    assert told["checkpoint"] == "hf"
    assert told["tuned"]["kl"] == 0.0074
    assert told["weights"][0]["sensitivities"][0]["expected_kl"] == 0.2


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "one of the arguments --target-bpw --max-size --max-kl is required"),
        (("--target-bpw", "4", "--max-kl", "1"), "not allowed with argument --target-bpw"),
        (("--max-size", "9" * 400), "999 is not a finite size"),
        (("--max-size", "4 pounds"), "'4 pounds' is not a size, expected a number of B, kB, MB,"),
        (("--target-bpw", "0"), "0 is not above 0"),
        (("--max-kl", "nan"), "nan is not a finite number"),
    ],
)
def test_wrong_usage(words: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["tune", "hf", "-o", "mine.json", *words])
    assert ended.value.code == 2
    assert told in capsys.readouterr().err


def test_a_text_that_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "t.txt").write_bytes(b"ok \xff")
    words = ["--max-kl", "1", "--text", str(tmp_path / "t.txt")]
    assert main(["tune", "hf", "-o", "m.json", *words]) == 1
    error, hint = capsys.readouterr().err.splitlines()
    assert error == f"error: {tmp_path / 't.txt'} is not UTF-8 text: byte 3 cannot be read"
    assert hint == "hint: save it as UTF-8 first, for example with iconv"


def test_the_whole_way(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    words = ["--target-bpw", "6", "--weights", "int4_block32,int8", "--tokens", "32"]
    words += ["--prefill", "16"]
    output = tmp_path / "mine.json"
    assert main(["tune", str(demo.CHECKPOINT), "-o", str(output), *words]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines[1].split()[0] == "recipe"
    assert [line.split()[0] for line in lines[2:5]] == ["tuned", "int4_block32", "int8"]
    assert float(lines[2].split()[1]) <= 6
    assert lines[5].startswith(f"{output}: ")
    assert json.loads(output.read_text())[0]["pattern"] == ".*"
    # Read back, it is refused as an output until that is asked for.
    assert main(["tune", str(demo.CHECKPOINT), "-o", str(output), *words]) == 1
    assert capfd.readouterr().err.splitlines()[-2] == f"error: output {output} exists"
