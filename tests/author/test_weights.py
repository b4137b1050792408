"""Weight accounting: nothing missing, nothing left over, every shape right."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import edgegen
from edgegen.author.weights import Copy, Drop, Rename, resolve
from edgegen.errors import CheckpointError, WeightsError
from tests.hf import save_checkpoint, tiny_config


def change(folder: Path, **tensors: torch.Tensor | None) -> Path:
    """Replace, add or (with None) remove stored tensors; `__` in a name stands for a dot."""
    path = folder / "model.safetensors"
    state = load_file(path)
    for name, tensor in tensors.items():
        state.pop(name.replace("__", "."), None)
        if tensor is not None:
            state[name.replace("__", ".")] = tensor
    save_file(state, path)
    return folder


def author(folder: Path):
    return edgegen.author_model(edgegen.open_checkpoint(folder))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_checkpoint(tmp_path, tiny_config())
    return tmp_path


def test_every_problem_is_listed_with_shapes(folder: Path) -> None:
    change(
        folder,
        model__norm__weight=None,
        model__layers__0__self_attn__sinks=torch.zeros(6),
        model__layers__1__mlp__up_proj__weight=torch.zeros(3, 4),
    )

    with pytest.raises(WeightsError) as raised:
        author(folder)

    message = raised.value.message
    assert "1 stored tensors are not used, 1 parameters are not filled, 1 have another" in message
    assert "unused   model.layers.0.self_attn.sinks  [6]" in message
    assert "missing  norm.weight  [96]" in message
    assert "shape    layers.1.mlp.up_proj.weight  is [3, 4], expected [128, 96]" in message


def test_a_long_list_is_shortened(folder: Path) -> None:
    change(folder, **{f"extra{i}": torch.zeros(1) for i in range(30)})
    with pytest.raises(WeightsError, match=r"\.\.\. 10 more"):
        author(folder)


def test_dropped_tensors_are_dropped_for_a_reason(folder: Path) -> None:
    embedding = load_file(folder / "model.safetensors")["model.embed_tokens.weight"]
    change(
        folder,
        lm_head__weight=embedding.clone(),
        model__layers__0__self_attn__rotary_emb__inv_freq=torch.zeros(16),
    )
    assert "lm_head.weight" not in author(folder).sources


def test_a_head_that_is_said_to_be_tied_must_be_the_embedding(folder: Path) -> None:
    """Transformers does not tie two stored tensors that differ; dropping one changes the model."""
    embedding = load_file(folder / "model.safetensors")["model.embed_tokens.weight"]
    embedding[-1, -1] += 1
    change(folder, lm_head__weight=embedding)
    with pytest.raises(WeightsError, match=r"stores different values for the two") as raised:
        author(folder)
    assert "tie_word_embeddings" in (raised.value.hint or "")


def test_weights_that_are_not_floats_are_refused_before_the_long_work(folder: Path) -> None:
    change(folder, model__norm__weight=torch.zeros(96, dtype=torch.int8))
    with pytest.raises(CheckpointError, match="stored as I8, expected one of BF16, F16, F32"):
        author(folder)


def test_more_layers_than_tensors_are_refused_before_any_is_built(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 1 << 20}))
    with pytest.raises(WeightsError, match="stores 20 tensors in all"):
        author(folder)


def test_an_untied_model_needs_its_head(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, tiny_config(tie_word_embeddings=False))
    change(tmp_path, lm_head__weight=None)
    with pytest.raises(WeightsError, match=r"missing  lm_head\.weight"):
        author(tmp_path)


def test_placeholders_match_numbers_only(folder: Path) -> None:
    tensors = edgegen.open_checkpoint(folder).tensors
    name = "model.layers.1.input_layernorm.weight"
    entry = tensors[name]
    weight_map = (Rename("l.{i}.w", "model.layers.{i}.input_layernorm.weight"),)

    assert resolve(weight_map, {"l.1.w": (96,)}, {name: entry})["l.1.w"] is entry
    with pytest.raises(WeightsError):
        resolve(weight_map, {"l.one.w": (96,)}, {name: entry})
    with pytest.raises(WeightsError, match="unused"):
        resolve((Drop("model.layers.{i}.bias", "x"),), {}, {name: entry})


def test_a_star_at_the_end_stands_for_all_under_a_name(folder: Path) -> None:
    tensors = edgegen.open_checkpoint(change(folder, tower__x__0__weight=torch.zeros(2))).tensors
    stored = {name: tensors[name] for name in ("model.norm.weight", "tower.x.0.weight")}
    weight_map = (Rename("norm.weight", "model.norm.weight"), Drop("tower.*", "of another part"))

    assert resolve(weight_map, {"norm.weight": (96,)}, stored).keys() == {"norm.weight"}
    with pytest.raises(WeightsError, match=r"unused   towers.weight  \[2\]"):
        resolve(
            weight_map,
            {"norm.weight": (96,)},
            {**stored, "towers.weight": stored["tower.x.0.weight"]},
        )


def test_a_copy_of_what_is_not_there_is_not_used(folder: Path) -> None:
    """It could not be compared."""
    tensors = edgegen.open_checkpoint(folder).tensors
    stored = {"lm_head.weight": tensors["model.embed_tokens.weight"]}

    with pytest.raises(WeightsError, match=r"unused   lm_head.weight"):
        resolve((Copy("lm_head.weight", of="model.embed_tokens.weight"),), {}, stored)
