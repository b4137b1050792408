"""Merged adapters compute what peft computes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from edgegen.author import author_model, merge_adapter, open_checkpoint
from edgegen.author.checkpoint import Checkpoint
from edgegen.author.lora import AdaptedTensor
from edgegen.author.lora_config import HARMLESS, read_lora_config
from edgegen.author.reference import reference_logits
from edgegen.author.safetensors_files import TensorEntry
from tests.adapters import WEIGHTS, change, configure, peft_logits, save_adapter
from tests.hf import save_checkpoint, tiny_config

TOKENS = [int(i * 37 % 96) for i in range(20)]
Q_PROJ = "base_model.model.model.layers.0.self_attn.q_proj"

ADAPTERS: dict[str, dict[str, Any]] = {
    "all projections": {},
    "rank and alpha patterns": {
        "rank_pattern": {"layers.1.self_attn.q_proj": 2, "down_proj": 8},
        "alpha_pattern": {r"layers\.\d+\.mlp\..*": 3},
    },
    "rslora": {"use_rslora": True, "rank_pattern": {"k_proj": 2}},
    "one layer": {"layers_to_transform": [1]},
    "one layer by its pattern": {"layers_to_transform": 0, "layers_pattern": "layers"},
    "a regular expression": {"target_modules": r".*layers\.0.*(q_proj|up_proj)"},
    "all linear": {"target_modules": "all-linear"},
    "all but some": {"exclude_modules": ["o_proj"]},
    "embedding": {"target_modules": ["q_proj", "embed_tokens"]},
    "head": {"target_modules": ["q_proj", "lm_head"]},
    "saved head": {"modules_to_save": ["lm_head"]},
    "saved norms": {"modules_to_save": ["norm"]},
    "saved embedding and head": {"modules_to_save": ["embed_tokens", "lm_head"]},
    "a layer saved whole": {"target_modules": ["q_proj"], "modules_to_save": ["mlp"]},
    "mica": {"init_lora_weights": "mica"},
}
SUMS = 1e-3  # W x + s B (A x) rounds otherwise than (W + s B A) x
# Changing one of two tied matrices: peft's merge changes both, its adapter only one.
TIED = ["all projections", "embedding", "head", "saved head", "saved embedding and head"]


def logits(checkpoint: Checkpoint) -> torch.Tensor:
    return reference_logits(author_model(checkpoint), TOKENS)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    save_checkpoint(folder, tiny_config(tie_word_embeddings=False))
    return folder


@pytest.fixture(scope="module")
def tied_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tied")
    save_checkpoint(folder, tiny_config(tie_word_embeddings=True))
    return folder


@pytest.fixture
def adapter(tmp_path: Path, base: Path) -> Path:
    return save_adapter(tmp_path / "adapter", base)


@pytest.mark.parametrize("kind", ADAPTERS)
def test_merged_logits_are_those_of_peft(tmp_path: Path, base: Path, kind: str) -> None:
    adapter = save_adapter(tmp_path / "adapter", base, **ADAPTERS[kind])

    found = logits(merge_adapter(open_checkpoint(base), adapter))

    torch.testing.assert_close(
        found, peft_logits(base, adapter, TOKENS, merge=True), rtol=0, atol=1e-4
    )
    # Negative control: the adapter shows.
    assert (found - logits(open_checkpoint(base))).abs().max() > 0.1


@pytest.mark.parametrize("kind", TIED)
def test_tied_matrices_are_parted_as_they_were_in_training(
    tmp_path: Path, tied_base: Path, kind: str
) -> None:
    adapter = save_adapter(tmp_path / "adapter", tied_base, **ADAPTERS[kind])

    merged = merge_adapter(open_checkpoint(tied_base), adapter)

    assert merged.config["tie_word_embeddings"] is (kind == "all projections")
    torch.testing.assert_close(
        logits(merged), peft_logits(tied_base, adapter, TOKENS, merge=False), rtol=0, atol=SUMS
    )


@pytest.mark.parametrize("choice", ["target_modules", "modules_to_save"])
def test_tied_matrices_that_peft_keeps_tied(tmp_path: Path, tied_base: Path, choice: str) -> None:
    modules = {"target_modules": ["q_proj"], **{choice: ["q_proj", "embed_tokens"]}}
    modules["modules_to_save"] = [n for n in modules.get("modules_to_save", []) if n != "q_proj"]
    adapter = save_adapter(tmp_path / "adapter", tied_base, ensure_weight_tying=True, **modules)

    found = logits(merge_adapter(open_checkpoint(tied_base), adapter))

    torch.testing.assert_close(
        found, peft_logits(tied_base, adapter, TOKENS, merge=False), rtol=0, atol=SUMS
    )


@pytest.mark.parametrize("scale", [0.0, 0.5, -2.0])
def test_scale_multiplies_what_the_adapter_adds(base: Path, adapter: Path, scale: float) -> None:
    checkpoint = open_checkpoint(base)
    name = "model.layers.0.mlp.down_proj.weight"

    def weight(given: Checkpoint) -> Any:
        return given.tensors[name].read()

    added = weight(merge_adapter(checkpoint, adapter)) - weight(checkpoint)
    scaled = weight(merge_adapter(checkpoint, adapter, scale)) - weight(checkpoint)

    np.testing.assert_allclose(scaled, scale * added, atol=1e-6)
    assert np.abs(added).max() > 0.1


def test_rows_are_those_of_the_whole(base: Path, tmp_path: Path) -> None:
    adapter = save_adapter(tmp_path / "a", base, target_modules=["up_proj", "embed_tokens"])
    merged = merge_adapter(open_checkpoint(base), adapter)
    for name in ("model.layers.1.mlp.up_proj.weight", "model.embed_tokens.weight"):
        tensor = merged.tensors[name]
        assert isinstance(tensor, AdaptedTensor)
        whole = tensor.read()
        assert whole.dtype == np.float32
        for start, stop in ((0, 1), (5, 5), (7, 31), (whole.shape[0] - 1, whole.shape[0])):
            np.testing.assert_allclose(tensor.read_rows(start, stop), whole[start:stop], atol=1e-6)


def test_a_factor_is_read_once_for_many_blocks_of_rows(
    base: Path, adapter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[str] = []
    real = TensorEntry.read_rows

    def counted(self: TensorEntry, start: int, stop: int) -> Any:
        reads.append(self.name)
        return real(self, start, stop)

    monkeypatch.setattr(TensorEntry, "read_rows", counted)
    merged = merge_adapter(open_checkpoint(base), adapter)
    assert reads == []
    tensor = merged.tensors["model.layers.0.self_attn.q_proj.weight"]
    for start in range(0, 64, 8):
        tensor.read_rows(start, start + 8)

    assert reads.count(f"{Q_PROJ}.lora_A.weight") == 1
    assert reads.count(f"{Q_PROJ}.lora_B.weight") == 8


@pytest.mark.parametrize("prefix", ["transformer.", ""])
@pytest.mark.parametrize("modules", [["c_attn", "c_fc"], ["c_proj", "wte"], ["c_proj", "lm_head"]])
def test_layers_that_are_stored_turned_or_without_their_prefix(
    tmp_path: Path, modules: list[str], prefix: str
) -> None:
    base = tmp_path / "gpt2"
    save_checkpoint(base, tiny_config("gpt2"))
    adapter = save_adapter(tmp_path / "adapter", base, target_modules=modules, fan_in_fan_out=True)
    weights = base / "model.safetensors"
    stored = load_file(weights)
    save_file(
        {name.replace("transformer.", prefix): t for name, t in stored.items()},
        weights,
        {"format": "pt"},
    )

    found = logits(merge_adapter(open_checkpoint(base), adapter))

    torch.testing.assert_close(
        found, peft_logits(base, adapter, TOKENS, merge=False), rtol=0, atol=SUMS
    )
    assert (found - logits(open_checkpoint(base))).abs().max() > 0.1


def test_the_names_of_old_versions(tmp_path: Path, base: Path) -> None:
    adapter = save_adapter(
        tmp_path / "adapter",
        base,
        target_modules=["q_proj", "embed_tokens"],
        modules_to_save=["lm_head"],
    )
    expected = logits(merge_adapter(open_checkpoint(base), adapter))

    def old(name: str) -> str:
        for matrix in ("lora_A", "lora_B", "lora_embedding_A", "lora_embedding_B"):
            if f".{matrix}." in f"{name}.":
                return f"{name}.".replace(f".{matrix}.", f".{matrix}.default.").rstrip(".")
        return name.replace("lm_head.weight", "lm_head.modules_to_save.default.weight")

    change(adapter, lambda tensors: {old(name): t for name, t in tensors.items()})
    assert any(".lora_embedding_A.default" in name for name in load_file(adapter / WEIGHTS))

    assert torch.equal(logits(merge_adapter(open_checkpoint(base), adapter)), expected)


def test_half_precision_is_added_in_float32(tmp_path: Path, base: Path, adapter: Path) -> None:
    change(adapter, lambda tensors: {name: t.bfloat16() for name, t in tensors.items()})
    stored = load_file(adapter / WEIGHTS)
    name = "model.layers.0.self_attn.q_proj.weight"

    found = merge_adapter(open_checkpoint(base), adapter).tensors[name].read()

    a, b = (stored[f"{Q_PROJ}.lora_{side}.weight"].float() for side in "AB")
    expected = open_checkpoint(base).tensors[name].read() + 1.5 * (b @ a).numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_the_checkpoint_knows_its_adapter(base: Path, adapter: Path) -> None:
    checkpoint = open_checkpoint(base)

    merged = merge_adapter(checkpoint, adapter, 0.5)

    assert checkpoint.adapter is None
    assert merged.adapter is not None
    assert (merged.adapter.path, merged.adapter.scale) == (adapter, 0.5)
    assert {path.name for path in merged.files} == {
        "model.safetensors",
        WEIGHTS,
        "adapter_config.json",
    }
    added = sum(tensor.numel() * 4 for tensor in load_file(adapter / WEIGHTS).values())
    assert merged.nbytes == checkpoint.nbytes + added
    assert merged.path == checkpoint.path


def test_harmless_keys_change_nothing(base: Path, adapter: Path) -> None:
    expected = logits(merge_adapter(open_checkpoint(base), adapter))
    configure(adapter, **dict.fromkeys(HARMLESS, "anything"))
    assert torch.equal(logits(merge_adapter(open_checkpoint(base), adapter)), expected)


def test_every_key_of_the_installed_peft_is_known(adapter: Path) -> None:
    """A newer peft may write keys that this list does not know: then it must be looked at."""
    assert read_lora_config(adapter).r == 4


def test_the_word_of_the_adapter_on_how_the_base_is_stored_does_not_count(
    tmp_path: Path,
) -> None:
    """For ordinary layers peft ignores `fan_in_fan_out`; a square one fits both ways."""
    base = tmp_path / "llama"
    save_checkpoint(
        base, tiny_config(num_attention_heads=4, head_dim=24, tie_word_embeddings=False)
    )
    adapter = save_adapter(tmp_path / "adapter", base, target_modules=["q_proj"])
    expected = logits(merge_adapter(open_checkpoint(base), adapter))

    configure(adapter, fan_in_fan_out=True)

    assert torch.equal(logits(merge_adapter(open_checkpoint(base), adapter)), expected)
