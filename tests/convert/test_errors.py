"""Everything that conversion refuses, and that nothing is left behind."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from ai_edge_litert import schema_py_generated as schema
from safetensors.torch import load_file, save_file

import edgegen
from edgegen.author import AuthoredModel
from edgegen.convert import ExportSpec, merge
from edgegen.convert.graph import bind_weights
from edgegen.convert.interpreter import TfliteSession
from edgegen.convert.skeleton import trace_skeleton
from edgegen.errors import CheckpointError, ConversionError, OutputError
from tests.hf import save_checkpoint, tiny_config

SPEC = ExportSpec((8,), 64)


def checkpoint(folder: Path, **changes: Any) -> AuthoredModel:
    save_checkpoint(folder, tiny_config(**changes))
    return edgegen.author_model(edgegen.open_checkpoint(folder))


def spoil(model: AuthoredModel, value: float) -> AuthoredModel:
    path = model.checkpoint.path / "model.safetensors"
    state = load_file(path)
    state["model.layers.0.mlp.up_proj.weight"][3, 5] = value
    save_file(state, path)
    return edgegen.author_model(edgegen.open_checkpoint(path.parent))


@pytest.fixture
def no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail if the long work starts before what can be known at once is checked."""

    def fail(*_: object) -> None:
        raise AssertionError("the model was traced")

    monkeypatch.setattr("edgegen.convert.skeleton.trace_skeleton", fail)


@pytest.mark.usefixtures("no_trace")
def test_an_unknown_recipe_names_the_nearest(tmp_path: Path) -> None:
    model = checkpoint(tmp_path / "hf")
    with pytest.raises(ConversionError, match="unknown recipe 'dynamic_wi8_fp32'") as raised:
        edgegen.convert_model(model, tmp_path / "x.tflite", spec=SPEC, recipe="dynamic_wi8_fp32")
    assert "did you mean 'dynamic_wi8_afp32'?" in (raised.value.hint or "")


@pytest.mark.usefixtures("no_trace")
def test_an_existing_output_needs_force(tmp_path: Path) -> None:
    model = checkpoint(tmp_path / "hf")
    (tmp_path / "x.tflite").write_bytes(b"mine")
    with pytest.raises(OutputError, match=r"x\.tflite exists") as raised:
        edgegen.convert_model(model, tmp_path / "x.tflite", spec=SPEC)
    assert "--force" in (raised.value.hint or "")
    assert (tmp_path / "x.tflite").read_bytes() == b"mine"


def test_columns_that_blocks_do_not_divide(tmp_path: Path) -> None:
    model = checkpoint(tmp_path / "hf", intermediate_size=80)
    with pytest.raises(ConversionError, match=r"down_proj.weight has 80 columns.* blocks of 32"):
        edgegen.convert_model(
            model, tmp_path / "x.tflite", spec=SPEC, recipe="dynamic_wi4b32_afp32"
        )
    assert list(tmp_path.glob("*.tflite*")) == []


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
@pytest.mark.parametrize("recipe", ["none", "fp16", "dynamic_wi8_afp32"])
def test_values_that_are_not_numbers(tmp_path: Path, recipe: str, value: float) -> None:
    model = spoil(checkpoint(tmp_path / "hf"), value)
    with pytest.raises(ConversionError, match=r"layers\.0\.mlp\.up_proj\.weight holds infinite"):
        edgegen.convert_model(model, tmp_path / "x.tflite", spec=SPEC, recipe=recipe)
    assert list(tmp_path.glob("*x.tflite*")) == []


def test_vectors_that_are_not_numbers(tmp_path: Path) -> None:
    model = checkpoint(tmp_path / "hf")
    path = model.checkpoint.path / "model.safetensors"
    state = load_file(path)
    state["model.norm.weight"][0] = float("nan")
    save_file(state, path)
    model = edgegen.author_model(edgegen.open_checkpoint(path.parent))
    with pytest.raises(ConversionError, match=r"norm\.weight holds infinite values"):
        edgegen.convert_model(model, tmp_path / "x.tflite", spec=SPEC)


def test_a_matrix_of_another_shape_than_the_graphs(tmp_path: Path) -> None:
    """The checkpoint may change between the two processes that read it."""
    model = checkpoint(tmp_path / "hf")
    traced = trace_skeleton(model, SPEC)
    save_checkpoint(tmp_path / "hf", tiny_config(intermediate_size=160))
    model = edgegen.author_model(edgegen.open_checkpoint(tmp_path / "hf"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edgegen.convert.skeleton.trace_skeleton", lambda *_: traced)
        with pytest.raises(ConversionError, match=r"the checkpoint stores \[96, 160\]"):
            edgegen.convert_model(model, tmp_path / "x.tflite", spec=SPEC)


@pytest.mark.usefixtures("nothing_kept")
def test_code_in_the_current_folder_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`cd checkpoint; edgegen build .` must not import the checkpoint's `torch.py`."""
    model = checkpoint(tmp_path / "hf")
    for name in ("torch", "numpy", "json"):
        (tmp_path / "hf" / f"{name}.py").write_text("open('ran', 'w')")
    monkeypatch.chdir(tmp_path / "hf")
    monkeypatch.setattr("sys.path", [p for p in sys.path if p])

    edgegen.convert_model(model, tmp_path / "x.tflite", spec=SPEC)

    assert not (tmp_path / "hf" / "ran").exists()


def test_values_that_float16_cannot_hold(tmp_path: Path) -> None:
    model = spoil(checkpoint(tmp_path / "hf"), 1e6)
    with pytest.raises(ConversionError, match=r"values up to 1e\+06, which float16 cannot hold"):
        edgegen.convert_model(model, tmp_path / "x.tflite", spec=SPEC, recipe="fp16")


def test_a_weight_file_that_is_cut_short_meanwhile(tmp_path: Path) -> None:
    model = checkpoint(tmp_path / "hf")
    graph_made = trace_skeleton(model, SPEC)
    file = model.checkpoint.files[0]
    file.write_bytes(file.read_bytes()[:2000])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edgegen.convert.skeleton.trace_skeleton", lambda *_: graph_made)
        with pytest.raises(CheckpointError, match="ends inside tensor"):
            edgegen.convert_model(model, tmp_path / "x.tflite", spec=SPEC)
    assert list(tmp_path.glob("*x.tflite*")) == []


@pytest.mark.usefixtures("nothing_kept")
def test_a_tracing_failure_is_told_in_one_line(tmp_path: Path) -> None:
    model = checkpoint(tmp_path / "hf")
    (model.checkpoint.path / "config.json").write_text("{")  # for the worker, not for us
    with pytest.raises(ConversionError, match=r"tracing the model failed: .*not valid JSON"):
        edgegen.convert_model(model, tmp_path / "x.tflite", spec=SPEC)


@pytest.mark.usefixtures("nothing_kept")
def test_a_killed_tracer_names_the_signal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = checkpoint(tmp_path / "hf")
    shim = tmp_path / "python"
    shim.write_text("#!/bin/sh\nkill -9 $$\n")
    shim.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(shim))
    with pytest.raises(ConversionError, match="killed by SIGKILL") as raised:
        edgegen.convert_model(model, tmp_path / "x.tflite", spec=SPEC)
    assert "out of memory" in (raised.value.hint or "")


def test_a_weight_that_is_not_a_layers_matrix_is_refused() -> None:
    """`x * w` with a matrix would become another graph than with a constant."""
    model = schema.ModelT()
    code, operator, graph = schema.OperatorCodeT(), schema.OperatorT(), schema.SubGraphT()
    code.builtinCode = schema.BuiltinOperator.MUL
    operator.opcodeIndex, operator.inputs, operator.outputs = 0, [0, 1], [2]
    names = (b"x", b"w", b"y")
    graph.tensors = [SimpleNamespace(name=n, shape=[2, 2], buffer=0) for n in names]
    graph.inputs, graph.outputs, graph.operators, graph.name = [0, 1], [2], [operator], b"decode"
    model.buffers, model.operatorCodes, model.subgraphs = [schema.BufferT()], [code], [graph]
    definition = schema.SignatureDefT()
    definition.subgraphIndex = 0
    items = []
    for name, index in ((b"x", 0), (b"weights_w", 1), (b"y", 2)):
        item = schema.TensorMapT()
        item.name, item.tensorIndex = name, index
        items.append(item)
    definition.inputs, definition.outputs = items[:2], items[2:]
    model.signatureDefs = [definition]

    with pytest.raises(ConversionError, match="matrix w reaches operator code"):
        bind_weights(model)


def test_control_flow_cannot_be_merged() -> None:
    part = schema.ModelT()
    code = schema.OperatorCodeT()
    code.builtinCode = schema.BuiltinOperator.WHILE
    part.operatorCodes = [code]
    with pytest.raises(ConversionError, match="control-flow operators"):
        merge._refuse_control_flow(part)


def test_a_model_without_our_signatures_is_not_run(tmp_path: Path) -> None:
    import litert_torch

    path = tmp_path / "other.tflite"
    with torch.no_grad():
        other = litert_torch.convert(torch.nn.Linear(2, 2).eval(), (torch.zeros(1, 2),))
    other.export(str(path))
    with pytest.raises(ConversionError, match="expected prefill_N and decode"):
        TfliteSession(path)


def test_one_tied_matrix_cannot_be_stored_in_two_ways(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ai_edge_quantizer import recipe_manager

    from edgegen.convert.recipes import RECIPES, Recipe

    def embedding_only() -> list[dict[str, Any]]:
        manager = recipe_manager.RecipeManager()
        manager.add_dynamic_config(regex=".*", operation_name="EMBEDDING_LOOKUP", num_bits=8)
        made: list[dict[str, Any]] = manager.get_quantization_recipe()
        return made

    monkeypatch.setitem(RECIPES, "mixed", Recipe("mixed", "", embedding_only, (), 0.9))
    model = checkpoint(tmp_path / "hf")
    with pytest.raises(ConversionError, match=r"stores embed_tokens\.weight in two ways"):
        edgegen.convert_model(model, tmp_path / "x.tflite", spec=SPEC, recipe="mixed")
