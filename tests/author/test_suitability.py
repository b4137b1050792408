"""`check_checkpoint`: supported, nearly, or no, in words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from edgegen import demo
from edgegen.author.features import FEATURES
from edgegen.author.suitability import Suitability, check_checkpoint
from edgegen.cli import main
from edgegen.errors import CheckpointError
from tests.hf import save_checkpoint, tiny_config


@pytest.fixture
def llama(tmp_path: Path) -> Path:
    save_checkpoint(tmp_path, tiny_config())
    return tmp_path


def change_config(folder: Path, **changes: Any) -> Suitability:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return check_checkpoint(folder)


def test_a_supported_checkpoint_has_its_size() -> None:
    found = check_checkpoint(demo.CHECKPOINT)

    assert (found.verdict, found.model_type, found.missing) == ("supported", "llama", ())
    assert found.parameter_count == 3_475_712


def test_no_weights_are_read(llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("weights were read")

    monkeypatch.setattr("edgegen.author.safetensors_files.TensorEntry.read_rows", fail)

    assert check_checkpoint(llama).verdict == "supported"


def test_every_unsupported_feature_is_listed_in_words(llama: Path) -> None:
    found = change_config(
        llama, sliding_window=4096, num_local_experts=8, hidden_act="swish9", soup="tomato"
    )

    assert found.verdict == "nearly"
    text = "\n".join(found.missing)
    assert "a mixture of experts (num_local_experts)" in text
    assert "sliding-window attention (sliding_window)" in text
    assert "hidden_act='swish9', expected one of gelu" in text
    assert "soup='tomato'" in text
    assert "edgegen/author/models/llama.py" in (found.hint or "")


def test_a_nested_feature_does_not_hide_the_others(llama: Path) -> None:
    rope = {"rope_type": "spiral", "factor": 2.0}
    found = change_config(llama, rope_parameters=rope, attn_logit_softcapping=50.0)

    text = "\n".join(found.missing)
    assert "rope_type='spiral'" in text
    assert "soft-capping of scores or logits (attn_logit_softcapping)" in text


def test_missing_and_unknown_tensors_are_listed(llama: Path) -> None:
    weights = load_file(llama / "model.safetensors")
    del weights["model.norm.weight"]
    weights["model.layers.0.self_attn.q_norm.weight"] = torch.ones(32)
    weights["model.layers.1.mlp.up_proj.weight"] = torch.ones(96, 128)
    save_file(weights, llama / "model.safetensors", {"format": "pt"})

    found = check_checkpoint(llama)

    assert found.verdict == "nearly"
    assert found.missing == (
        "tensor unused   model.layers.0.self_attn.q_norm.weight  [32]",
        "tensor missing  norm.weight  [96]",
        "tensor shape    layers.1.mlp.up_proj.weight  is [96, 128], expected [128, 96]",
    )


def test_an_unknown_architecture_of_known_parts_is_near(llama: Path) -> None:
    found = change_config(llama, model_type="lama", sliding_window=16)

    assert found.verdict == "nearly"
    # Of those with the same names of tensors, one that knows windows: Llama does not.
    assert found.closest in {"ministral", "mistral", "phi3", "qwen2", "smollm3"}
    assert found.missing == ("a file for the architecture lama",)
    assert any(text.startswith("sliding-window attention: layers.") for text in found.present)
    assert f"start from edgegen/author/models/{found.closest}.py" in (found.hint or "")


def test_an_unknown_architecture_of_unknown_parts_is_not(llama: Path) -> None:
    found = change_config(llama, model_type="bamba", mamba_d_state=128)

    assert found.verdict == "no"
    assert "a block for state-space (Mamba) layers" in found.missing


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"model_type": None}, "model_type=None, expected a name"),
        ({"quantization_config": {"bits": 4}}, "already quantized"),
        ({"auto_map": {"AutoModel": "modeling.Mine"}}, "its own modelling code"),
        ({"hidden_size": None}, "no hidden_size"),
        ({"num_key_value_heads": 4}, "not a multiple of num_key_value_heads=4"),
    ],
)
def test_what_cannot_be_cured_is_no(llama: Path, changes: dict[str, Any], expected: str) -> None:
    found = change_config(llama, **changes)

    assert found.verdict == "no"
    assert any(expected in line for line in found.missing), found
    assert found.hint


def test_integer_weights_are_no(llama: Path) -> None:
    weights = load_file(llama / "model.safetensors")
    name = "model.layers.0.mlp.up_proj.weight"
    weights[name] = weights[name].to(torch.int8)
    save_file(weights, llama / "model.safetensors", {"format": "pt"})

    found = check_checkpoint(llama)

    assert found.verdict == "no"
    assert "stored as I8" in found.missing[0]


def test_pickles_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80")

    with pytest.raises(CheckpointError, match=r"pickled weights only \(pytorch_model.bin\)"):
        check_checkpoint(tmp_path)


def test_the_command_says_it_and_sets_the_status(
    llama: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", str(llama)]) == 0
    assert capsys.readouterr().out.startswith("supported: llama, ")
    change_config(llama, sliding_window=8)

    assert main(["check", str(llama)]) == 1
    out = capsys.readouterr().out
    assert out.startswith("nearly: llama\nmissing:\n  - sliding-window attention")
    assert "next: teach" in out
    assert main(["check", str(llama), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["verdict"] == "nearly"


def test_every_block_that_is_named_exists() -> None:
    import edgegen.author.decoder as decoder
    import edgegen.author.decoder_layers as decoder_layers
    import edgegen.author.layers as layers

    for feature in FEATURES.values():
        if feature.block is not None:
            name = feature.block.removeprefix("layers.").partition("(")[0]
            homes = (layers, decoder, decoder_layers)
            assert any(hasattr(home, name) for home in homes), feature


def test_what_a_checkpoint_says_does_not_reach_the_terminal_raw(
    llama: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change_config(llama, model_type="\x1b[31mevil\x07")

    assert main(["check", str(llama)]) == 1
    assert "\x1b" not in capsys.readouterr().out
    change_config(llama, model_type="\ud800")
    assert main(["check", str(llama)]) == 1


def test_a_config_nested_without_end_is_refused(llama: Path) -> None:
    deep: Any = []
    for _ in range(600):
        deep = [deep]
    with pytest.raises(CheckpointError, match="nested more than 32 deep"):
        change_config(llama, soup=deep)
