"""Adapters that are not merged: each is refused, with what was found and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from edgegen.author import author_model, merge_adapter, open_checkpoint
from edgegen.author.lora_config import REFUSED
from edgegen.errors import CheckpointError, ConfigError, EdgegenError, WeightsError
from tests.adapters import PROJECTIONS, WEIGHTS, change, configure, save_adapter
from tests.hf import save_checkpoint, tiny_config

Q_PROJ = "base_model.model.model.layers.0.self_attn.q_proj"


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


def refuse(
    kind: type[EdgegenError], base: Path, adapter: Path, *found: str, hint: str, **options: Any
) -> None:
    with pytest.raises(kind) as raised:
        merge_adapter(open_checkpoint(base), adapter, **options)
    for text in found:
        assert text in raised.value.message
    assert hint in (raised.value.hint or "")


def test_a_path_that_does_not_exist(base: Path, tmp_path: Path) -> None:
    refuse(CheckpointError, base, tmp_path / "nowhere", "does not exist", hint="hf download")


def test_a_file_instead_of_a_folder(base: Path, adapter: Path) -> None:
    refuse(CheckpointError, base, adapter / WEIGHTS, "is a file", hint="local folder")


def test_a_folder_without_a_config(base: Path, adapter: Path) -> None:
    (adapter / "adapter_config.json").unlink()
    refuse(CheckpointError, base, adapter, "no adapter_config.json", hint="save_pretrained")


def test_a_whole_checkpoint_instead_of_an_adapter(base: Path) -> None:
    refuse(CheckpointError, base, base, "not an adapter folder", hint="build from it without")


def test_pickled_matrices_only(base: Path, adapter: Path) -> None:
    (adapter / WEIGHTS).rename(adapter / "adapter_model.bin")
    refuse(
        CheckpointError,
        base,
        adapter,
        "holds adapter_model.bin, expected adapter_model.safetensors",
        hint="never opened",
    )


def test_no_matrices_at_all(base: Path, adapter: Path) -> None:
    (adapter / WEIGHTS).unlink()
    refuse(CheckpointError, base, adapter, f"holds no {WEIGHTS}", hint="download")


def test_damaged_matrices(base: Path, adapter: Path) -> None:
    (adapter / WEIGHTS).write_bytes((adapter / WEIGHTS).read_bytes()[:-9])
    refuse(CheckpointError, base, adapter, "should end at byte", hint="again")


def test_a_config_that_is_not_json(base: Path, adapter: Path) -> None:
    (adapter / "adapter_config.json").write_text("{")
    refuse(CheckpointError, base, adapter, "not valid JSON", hint="again")


@pytest.mark.parametrize("scale", [float("nan"), float("inf")])
def test_a_scale_that_is_no_number(base: Path, adapter: Path, scale: float) -> None:
    refuse(CheckpointError, base, adapter, f"scale is {scale}", hint="0.5 half of it", scale=scale)


def test_a_second_adapter(base: Path, adapter: Path) -> None:
    once = merge_adapter(open_checkpoint(base), adapter)
    with pytest.raises(CheckpointError, match="already has the adapter") as raised:
        merge_adapter(once, adapter)
    assert "merge one of the two with peft" in (raised.value.hint or "")


@pytest.mark.parametrize(
    ("key", "value", "meaning"),
    [
        ("peft_type", "LOHA", "another method"),
        ("peft_type", None, "another method"),
        ("task_type", "SEQ_CLS", "another task"),
        ("bias", "lora_only", "biases"),
        ("init_lora_weights", "pissa", "changed base"),
        ("init_lora_weights", "pissa_niter_4", "changed base"),
        ("init_lora_weights", "olora", "changed base"),
        ("init_lora_weights", "loftq", "changed base"),
        ("init_lora_weights", 1, "changed base"),
        ("trainable_token_indices", [1, 2], "single embeddings"),
        ("layer_replication", [[0, 1], [0, 2]], "repeated"),
        *((key, True, meaning) for key, meaning in REFUSED.items()),
    ],
)
def test_variants_that_are_not_merged(
    base: Path, adapter: Path, key: str, value: Any, meaning: str
) -> None:
    configure(adapter, **{key: value})
    refuse(ConfigError, base, adapter, f"{key}={value!r}", meaning, hint="merge it with peft")


def test_unknown_keys(base: Path, adapter: Path) -> None:
    configure(adapter, use_new=1, use_newer=None)
    refuse(ConfigError, base, adapter, "use_new=1, use_newer=None", hint="may change")


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("r", 0, "whole numbers from 1"),
        ("r", "8", "whole numbers from 1"),
        ("rank_pattern", {"q_proj": 0}, "whole numbers from 1"),
        ("rank_pattern", ["q_proj"], "an object"),
        ("lora_alpha", "16", "numbers of ordinary size"),
        ("lora_alpha", float("nan"), "numbers of ordinary size"),
        ("alpha_pattern", {"q_proj": True}, "numbers of ordinary size"),
        ("use_rslora", 1, "true or false"),
        ("target_modules", [1], "a list of module names"),
        ("modules_to_save", {"a": 1}, "a list of module names"),
        ("layers_to_transform", ["1"], "a list of layer numbers"),
    ],
)
def test_values_of_the_wrong_kind(
    base: Path, adapter: Path, key: str, value: Any, expected: str
) -> None:
    configure(adapter, **{key: value})
    refuse(ConfigError, base, adapter, f" has {key}=", expected, hint="again")


@pytest.mark.parametrize(
    "changes",
    [
        {"target_modules": "*q"},
        {"exclude_modules": "("},
        {"rank_pattern": {".*": 4, "(": 4}},
        {"alpha_pattern": {"[": 4}},
        {"layers_to_transform": [0], "layers_pattern": ["layers", "("]},
    ],
)
def test_patterns_that_are_no_regular_expressions(
    base: Path, adapter: Path, changes: dict[str, Any]
) -> None:
    configure(adapter, **changes)
    refuse(ConfigError, base, adapter, "which is not a regular expression", hint="again")


def test_an_adapter_of_a_deeper_model(tmp_path: Path, base: Path) -> None:
    save_checkpoint(tmp_path / "other", tiny_config(num_hidden_layers=3))
    adapter = save_adapter(tmp_path / "adapter", tmp_path / "other")
    refuse(
        WeightsError,
        base,
        adapter,
        "of another base model: 7 of the 21 modules that it changes are not in",
        "such as model.layers.2.",
        f"names the base {tmp_path / 'other'}",
        hint="trained on",
    )


def test_an_adapter_of_a_wider_model(tmp_path: Path, base: Path) -> None:
    save_checkpoint(tmp_path / "other", tiny_config(hidden_size=48))
    adapter = save_adapter(tmp_path / "adapter", tmp_path / "other")
    refuse(
        WeightsError,
        base,
        adapter,
        "have another shape",
        f"{Q_PROJ}.lora_A.weight  [4, 48], expected [4, 96]",
        hint="trained on",
    )


def test_a_resized_vocabulary(tmp_path: Path, base: Path) -> None:
    adapter = save_adapter(tmp_path / "adapter", base, modules_to_save=["lm_head"])
    name = "base_model.model.lm_head.weight"
    change(adapter, lambda tensors: {**tensors, name: torch.zeros(97, 96)})
    refuse(WeightsError, base, adapter, f"{name}  [97, 96], expected [96, 96]", hint="trained on")


def test_another_rank_than_the_config_says(base: Path, adapter: Path) -> None:
    configure(adapter, r=8)
    refuse(
        WeightsError,
        base,
        adapter,
        "0 of its tensors are not used, 0 are missing, 28 have another shape",
        f"{Q_PROJ}.lora_A.weight  [4, 96], expected [8, 96]",
        f"{Q_PROJ}.lora_B.weight  [192, 4], expected [192, 8]",
        "... 8 more",
        hint="trained on",
    )


def test_matrices_that_are_none(base: Path, adapter: Path) -> None:
    configure(adapter, target_modules=None)
    for side in "AB":
        name = f"base_model.model.model.norm.lora_{side}.weight"
        change(adapter, lambda tensors, name=name: {**tensors, name: torch.zeros(4, 4)})
    refuse(
        WeightsError, base, adapter, "2 of its tensors are not used", "norm.lora_A", hint="extras"
    )


def test_a_missing_matrix(base: Path, adapter: Path) -> None:
    name = f"{Q_PROJ}.lora_B.weight"
    change(adapter, lambda tensors: {k: t for k, t in tensors.items() if k != name})
    refuse(
        WeightsError,
        base,
        adapter,
        "1 are missing",
        f"missing  {Q_PROJ}.lora_B  [192, 4]",
        hint="not complete",
    )


def test_a_missing_module(base: Path, adapter: Path) -> None:
    change(adapter, lambda tensors: {k: t for k, t in tensors.items() if Q_PROJ not in k})
    refuse(
        WeightsError, base, adapter, "1 are missing", f"{Q_PROJ}.lora_A and", hint="not complete"
    )


@pytest.mark.parametrize("choice", ["modules_to_save", "target_modules"])
def test_a_missing_head(tied_base: Path, tmp_path: Path, choice: str) -> None:
    adapter = save_adapter(tmp_path / "adapter", tied_base)
    listed = {"modules_to_save": [], "target_modules": PROJECTIONS}
    configure(adapter, **{choice: [*listed[choice], "lm_head"]})
    refuse(
        WeightsError,
        tied_base,
        adapter,
        "1 are missing",
        "missing  base_model.model.lm_head.",
        hint="not complete",
    )


def test_an_empty_adapter(base: Path, adapter: Path) -> None:
    configure(adapter, target_modules=None)
    change(adapter, lambda tensors: {})
    refuse(WeightsError, base, adapter, "missing  every LoRA matrix", hint="not complete")


@pytest.mark.parametrize(
    "name",
    [
        f"{Q_PROJ}.lora_magnitude_vector",
        f"{Q_PROJ}.lora_B.bias",
        f"{Q_PROJ}.bias",
        f"{Q_PROJ}.base_layer.bias",
        f"{Q_PROJ}.lora_A.other.weight",
        "base_model.model.lm_head.lora_A.weight",  # not among target_modules
        "base_model.model.model.norm.weight",  # not among modules_to_save
        "model.layers.0.self_attn.q_proj.weight",
    ],
)
def test_tensors_that_are_not_used(base: Path, adapter: Path, name: str) -> None:
    change(adapter, lambda tensors: {**tensors, name: torch.zeros(4, 96)})
    refuse(
        WeightsError,
        base,
        adapter,
        "1 of its tensors are not used",
        f"unused   {name}  [4, 96]",
        hint="biases, magnitudes",
    )


def test_a_matrix_under_its_old_and_its_new_name(base: Path, adapter: Path) -> None:
    name = f"{Q_PROJ}.lora_A.default.weight"
    change(adapter, lambda tensors: {**tensors, name: torch.zeros(4, 96)})
    refuse(WeightsError, base, adapter, "1 of its tensors are not used", "lora_A", hint="extras")


def test_matrices_of_a_quantized_dtype(base: Path, adapter: Path) -> None:
    change(adapter, lambda tensors: {name: t.to(torch.int8) for name, t in tensors.items()})
    with pytest.raises(CheckpointError, match="stored as I8"):
        author_model(merge_adapter(open_checkpoint(base), adapter))


@pytest.mark.parametrize("pattern", ["([a-z_.0-9]+)+!", "(q|v)*_proj", "x" * 3000])
def test_a_pattern_that_could_match_for_ever(base: Path, adapter: Path, pattern: str) -> None:
    configure(adapter, target_modules=pattern)
    refuse(ConfigError, base, adapter, "matching it could take for ever", hint="peft")
