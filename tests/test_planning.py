"""Plans: sizes that builds then have, told without reading a weight."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import edgegen
from edgegen import demo
from edgegen.author.safetensors_files import TensorEntry
from edgegen.cli import main
from edgegen.contract import CACHE_PREFIXES
from edgegen.convert import ExportSpec
from edgegen.convert.interpreter import TfliteSession
from edgegen.convert.recipes import RECIPES
from edgegen.planning import BuildPlan, plan
from tests.hf import save_checkpoint, tiny_config

WIDE = {
    "qwen3": {"hidden_size": 256, "intermediate_size": 768, "head_dim": 64},
    "gpt2": {"n_embd": 256, "n_inner": 1024, "n_head": 4},
}
SIZES = {"vocab_size": 2048}


def planned(
    folder: Path, spec: ExportSpec, recipes: list[str], monkeypatch: pytest.MonkeyPatch
) -> BuildPlan:
    """Plan with weights that cannot be read."""

    def refuse(self: TensorEntry, *_: object) -> object:
        raise AssertionError(f"{self.name} was read")

    with monkeypatch.context() as patched:
        patched.setattr(TensorEntry, "read_rows", refuse)
        patched.setattr(TensorEntry, "read", refuse)
        return plan(
            folder,
            recipes=recipes,
            prefill_lens=spec.prefill_lens,
            kv_cache_lens=(spec.kv_cache_len, 32),
        )


@pytest.mark.parametrize(
    ("name", "spec"),
    [
        ("demo", ExportSpec((16, 32), 128)),
        ("qwen3", ExportSpec((16,), 64)),
        pytest.param("gpt2", ExportSpec((16,), 64), marks=pytest.mark.slow),
    ],
)
def test_the_planned_sizes_are_those_of_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, spec: ExportSpec
) -> None:
    folder = demo.CHECKPOINT
    if name != "demo":
        folder = tmp_path / "hf"
        save_checkpoint(folder, {**tiny_config(name), **WIDE[name], **SIZES})

    found = planned(folder, spec, list(RECIPES), monkeypatch)

    model = edgegen.author_model(edgegen.open_checkpoint(folder))
    outputs = {recipe: tmp_path / f"{recipe}.tflite" for recipe in RECIPES}
    made = edgegen.convert_recipes(model, outputs, spec=spec, calibration=range(1, 65))
    apart = {
        one.recipe: one.tflite_bytes / made[one.recipe].path.stat().st_size - 1
        for one in found.recipes
    }
    assert {recipe: share for recipe, share in apart.items() if abs(share) > 0.02} == {}
    session = TfliteSession(made["none"].path)
    caches = {k: v for k, v in session._cache.items() if k.startswith(CACHE_PREFIXES)}
    assert found.kv_cache_bytes[spec.kv_cache_len] == sum(v.nbytes for v in caches.values())


def test_the_planned_bundle_is_as_large_as_the_built_one(
    demo_task: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = ExportSpec(demo.PREFILL_LENS, demo.KV_CACHE_LEN)
    (one,) = planned(demo.CHECKPOINT, spec, ["dynamic_wi8_afp32"], monkeypatch).recipes
    assert one.bundle_bytes == pytest.approx(demo_task.stat().st_size, rel=0.02)


def test_what_the_figures_are_made_of(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = ExportSpec((16, 32), 128)
    found = planned(demo.CHECKPOINT, spec, ["none", "dynamic_wi8_afp32"], monkeypatch)

    exact, int8 = found.recipes
    # 4 layers, K and V of as many heads as the config has, float32.
    config = json.loads((demo.CHECKPOINT / "config.json").read_text())
    head_dim = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    per_token = 4 * 2 * config["num_hidden_layers"] * config["num_key_value_heads"] * head_dim
    assert found.kv_cache_bytes == {128: 128 * per_token, 32: 32 * per_token}
    assert exact.device_bytes - int8.device_bytes == pytest.approx(
        3 * found.parameter_count, rel=0.01
    )
    assert found.activation_bytes >= 4 * 32 * config["intermediate_size"]
    longer = planned(demo.CHECKPOINT, ExportSpec((16, 32, 64), 128), ["none"], monkeypatch)
    assert longer.activation_bytes > found.activation_bytes
    assert longer.host_bytes > found.host_bytes
    assert longer.host_s > 0


def test_static_recipes_hold_the_model_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_checkpoint(tmp_path, tiny_config("llama"))
    spec = ExportSpec((16,), 64)
    streamed = planned(tmp_path, spec, ["dynamic_wi8_afp32"], monkeypatch)
    static = planned(tmp_path, spec, ["static_wi8_ai8"], monkeypatch)
    assert static.host_s > streamed.host_s
    assert static.host_bytes == streamed.host_bytes  # of so small a model the converter takes more

    monkeypatch.setattr("edgegen.planning.CALIBRATED_COPIES", 1e6)
    held = planned(tmp_path, spec, ["static_wi8_ai8"], monkeypatch).host_bytes
    assert held == 500 * 2**20 + 4_000_000 * static.parameter_count


def test_a_checkpoint_without_a_tokenizer_has_no_bundle(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, tiny_config("llama"))
    assert [one.bundle_bytes for one in plan(tmp_path).recipes] == [None]


def test_the_command_prints_a_table_or_json(capsys: pytest.CaptureFixture[str]) -> None:
    words: list[Any] = ["plan", str(demo.CHECKPOINT), "--kv-cache-len", "512,128"]
    assert main([*words, "--recipe", "none,dynamic_wi8_afp32"]) == 0
    out = capsys.readouterr().out
    assert "dynamic_wi8_afp32" in out
    assert "for 512, " in out
    assert "conversion on this machine: about " in out

    assert main([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["schema"] == "edgegen.plan/1"
    streamed = [name for name, recipe in RECIPES.items() if recipe.activation_bits is None]
    assert [one["recipe"] for one in told["recipes"]] == streamed
    assert sorted(told["kv_cache_bytes"]) == ["128", "512"]


def test_an_encoder_has_no_plan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tests.engines.architectures import save_random

    save_random(tmp_path / "t5", "t5")
    capsys.readouterr()  # what saving the checkpoint printed
    assert main(["plan", str(tmp_path / "t5")]) == 1
    error, hint = capsys.readouterr().err.splitlines()
    assert error.startswith("error: the checkpoint is a model of the kind ")
    assert error.endswith(", and plans are for decoders")
    assert hint == "hint: `edgegen convert` makes a .tflite of it"
