"""What `edgegen build`, `convert` and `plan` ask for, and what a build prints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgegen import demo
from edgegen.cli import main
from edgegen.report.tables import mib

# Said on the command line, and what has to come of it.
EXPORT_WORDS = {
    "--prefill 8,32": {"prefill_lens": (8, 32)},
    "--kv-cache-len 64": {"kv_cache_len": 64},
    "--kv-cache-dtype float16": {"kv_cache_dtype": "float16"},
    "--mask-input": {"mask_input": True},
    "--target gpu": {"target": "gpu"},
    "--composites odml.rms_norm,odml.rope": {"composites": ("odml.rms_norm", "odml.rope")},
    "--lora adapter": {"lora": Path("adapter")},
    "--lora-scale 0.5": {"lora_scale": 0.5},
    "--force": {"force": True},
}
USUAL = {
    "prefill_lens": None,
    "kv_cache_len": None,
    "kv_cache_dtype": "float32",
    "mask_input": False,
    "target": None,
    "calibration": None,
    "composites": (),
    "lora": None,
    "lora_scale": None,
    "force": False,
}


class Asked(Exception):
    """Carries what a function was asked."""


@pytest.mark.parametrize("words", ["", *EXPORT_WORDS])
@pytest.mark.parametrize(
    ("verb", "function", "own"),
    [
        (
            "build",
            "pipeline.build",
            {
                "recipe": "dynamic_wi8_afp32",
                "parameters_file": None,
                "parameters": {},
                "engine": "litert-lm",
                "max_mismatch_rate": None,
                "check": True,
            },
        ),
        ("convert", "conversion.convert_checkpoint", {"recipes": ["dynamic_wi8_afp32"]}),
    ],
)
def test_each_option_arrives(
    monkeypatch: pytest.MonkeyPatch, verb: str, function: str, own: dict[str, Any], words: str
) -> None:
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def ask(*arguments: Any, **options: Any) -> None:
        calls.append((arguments, options))
        raise Asked

    monkeypatch.setattr(f"edgegen.{function}", ask)
    with pytest.raises(Asked):
        main([verb, "hf", "-o", "out.task", *words.split()])

    ((_, options),) = calls
    assert options == {**USUAL, **own, **EXPORT_WORDS.get(words, {})}


def test_a_calibration_text_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    texts: list[str] = []

    def ask(*_: Any, calibration: str, **__: Any) -> None:
        texts.append(calibration)
        raise Asked

    monkeypatch.setattr("edgegen.pipeline.build", ask)
    (tmp_path / "t.txt").write_text("Überall", encoding="utf-8")
    with pytest.raises(Asked):
        main(["build", "hf", "-o", "o.task", "--calibration", str(tmp_path / "t.txt")])
    assert texts == ["Überall"]


def test_a_calibration_text_that_is_none(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "t.txt").write_bytes(b"ab\xff")
    words = ["build", "hf", "-o", "o.task", "--calibration", str(tmp_path / "t.txt")]
    assert main(words) == 1
    assert capsys.readouterr().err == (
        f"error: {tmp_path / 't.txt'} is not UTF-8 text: byte 2 cannot be read\n"
        "hint: save it as UTF-8 first, for example with iconv\n"
    )


def test_a_plan_with_caches_of_half_the_size(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["plan", str(demo.CHECKPOINT), "--recipe", "none", "--json", "--kv-cache-dtype"]
    sizes = {}
    for dtype in ("float32", "float16"):
        assert main([*words, dtype]) == 0
        sizes[dtype] = json.loads(capsys.readouterr().out)["kv_cache_bytes"]
    assert sizes["float16"] == {length: n // 2 for length, n in sizes["float32"].items()}


def test_a_build_tells_what_was_planned_beside_what_came(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    output = tmp_path / "m.task"
    words = ["build", str(demo.CHECKPOINT), "-o", str(output), "--no-check"]
    words += ["--prefill", "16", "--kv-cache-len", "256"]
    assert main(words) == 0
    (line,) = [x for x in capsys.readouterr().out.splitlines() if x.startswith("planned")]
    said, came = line.removeprefix("planned (bundle, converting): ").split("; measured: ")
    size = output.stat().st_size
    assert came.startswith(mib(size))
    assert float(said.split(" ")[0]) == pytest.approx(size / 2**20, rel=0.03)
    assert " s, " in said

    assert main([*words, "--force", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    (planned,) = told["predicted"]["recipes"]
    assert planned["recipe"] == "dynamic_wi8_afp32"
    assert planned["bundle_bytes"] == pytest.approx(told["bundle_bytes"], rel=0.02)
    assert told["predicted"]["host_bytes"] > 500_000_000
