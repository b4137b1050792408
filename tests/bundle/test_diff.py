from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from edgegen.bundle import SentencePieceTokenizer, open_bundle, write_bundle
from edgegen.bundle.derive import convert_bundle, edit_bundle
from edgegen.bundle.diff import diff_bundles
from edgegen.bundle.flatbuffer import read_tensors
from edgegen.cli import main
from edgegen.provenance import provenance_path
from edgegen.report.render_diff import render_diff
from tests.bundle.conftest import train_tokenizer


@pytest.fixture
def copy(demo_task: Path, tmp_path: Path) -> Path:
    path = tmp_path / "copy.task"
    path.write_bytes(demo_task.read_bytes())
    provenance_path(path).write_bytes(provenance_path(demo_task).read_bytes())
    return path


def test_equal_files_do_not_differ(
    demo_task: Path, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = diff_bundles(demo_task, copy)

    assert found.same_bytes
    assert found.differences == ()
    assert main(["diff", str(demo_task), str(copy)]) == 0
    assert capsys.readouterr().out == f"{demo_task} and {copy} are equal byte for byte\n"


def test_one_changed_weight_is_named(demo_task: Path, copy: Path) -> None:
    name = "layers.1.mlp.up_proj.weight"
    offset, _ = open_bundle(copy).model_span
    tensors = {t.name: t for t in read_tensors(copy, open_bundle(copy).model_span)}
    content = bytearray(copy.read_bytes())
    at = content.rindex(_bytes_of(demo_task, name))
    assert at > offset
    content[at] ^= 1
    copy.write_bytes(content)

    (difference,) = diff_bundles(demo_task, copy).differences

    assert (difference.part, difference.name) == ("tensor", name)
    assert difference.first["sha256"] == tensors[name].sha256 != difference.second["sha256"]
    assert difference.first["dtype"] == difference.second["dtype"] == "INT8"


def _bytes_of(bundle: Path, name: str) -> bytes:
    """The stored bytes of a weight, by LiteRT's own reader."""
    from ai_edge_litert.tools import flatbuffer_utils

    offset, size = open_bundle(bundle).model_span
    whole = bundle.read_bytes()[offset : offset + size]
    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(whole))
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            if tensor.name.decode().endswith(name):
                buffer = model.buffers[tensor.buffer]
                return bytes(whole[buffer.offset : buffer.offset + buffer.size])
    raise AssertionError(name)


def test_another_format_and_other_parameters_are_told(
    demo_task: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = convert_bundle(demo_task, tmp_path / "o.litertlm").bundle.path
    edited = edit_bundle(other, other, parameters={"top_k": 9}, force=True).bundle.path

    found = {
        (d.part, d.name): (d.first, d.second) for d in diff_bundles(demo_task, edited).differences
    }
    assert found["file", "format"] == ("task", "litertlm")
    assert found["parameter", "sampler"][1]["top_k"] == 9
    assert not any(part in ("tensor", "signature", "member") for part, _ in found)

    assert main(["diff", str(demo_task), str(edited)]) == 1
    out = capsys.readouterr().out
    assert "sampler" in out
    assert main(["diff", str(demo_task), str(edited), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["same_bytes"] is False


def test_another_recipe_differs_in_every_matrix(demo_task: Path, demo_task_f32: Path) -> None:
    found = diff_bundles(demo_task, demo_task_f32).differences

    changed = {d.name: (d.first, d.second) for d in found if d.part == "tensor"}
    first, second = changed["layers.0.self_attn.q_proj.weight"]
    assert (first["dtype"], first["quantization"]) == ("INT8", "channels of dimension 0")
    assert (second["dtype"], second["quantization"]) == ("FLOAT32", None)
    assert sum(name.endswith("_proj.weight") for name in changed) == 4 * 7


def test_another_tokenizer_is_told(
    demo_task: Path, tmp_path: Path, fake_tflite: Path, demo_task_f32: Path
) -> None:
    bundle = open_bundle(demo_task)
    offset, size = bundle.model_span
    model = tmp_path / "m.tflite"
    model.write_bytes(demo_task.read_bytes()[offset : offset + size])
    other = SentencePieceTokenizer(Path("t"), train_tokenizer())
    made = write_bundle(model, other, bundle.parameters, tmp_path / "n.task").path

    found = diff_bundles(demo_task, made).differences
    assert [d.name for d in found if d.part == "member"] == ["TOKENIZER_MODEL"]


def test_other_places_of_the_same_are_no_difference(demo_task: Path, copy: Path) -> None:
    with copy.open("ab") as file:
        file.write(b"\0")
    found = diff_bundles(demo_task, copy)
    # A zip may be followed by a comment's worth of bytes; the size is all that tells.
    assert [d.name for d in found.differences] == ["bytes"]
    shown = render_diff(dataclasses.replace(found, differences=()), terminal=False)
    assert shown == f"{demo_task} and {copy} hold the same, laid out differently\n"


def test_what_has_no_name_here_differs_all_the_same(tmp_path: Path, demo_task: Path) -> None:
    """A template of another's, and a graph with its wires crossed."""
    from edgegen.bundle.contents import Foreign
    from edgegen.bundle.formats import write_contents

    bundle = open_bundle(convert_bundle(demo_task, tmp_path / "a.litertlm").bundle.path)
    from litert_lm_builder.runtime.proto import llm_metadata_pb2

    message = llm_metadata_pb2.LlmMetadata(jinja_prompt_template="{{ other }}")
    other = dataclasses.replace(
        bundle.contents, foreign=Foreign("litertlm", message.SerializeToString())
    )
    second = write_contents(other, tmp_path / "b.litertlm").path

    differences = diff_bundles(bundle.path, second).differences
    assert ("hint", "runtime_template") in [(d.part, d.name) for d in differences]


def test_other_wires_are_a_difference(tmp_path: Path, demo_task: Path) -> None:
    from ai_edge_litert import schema_py_generated as schema

    offset, size = open_bundle(demo_task).model_span
    content = bytearray(demo_task.read_bytes()[offset : offset + size])
    first, second = tmp_path / "first.tflite", tmp_path / "second.tflite"
    first.write_bytes(content)
    graph = schema.Model.GetRootAs(content, 0).Subgraphs(0)
    inputs = [graph.Operators(i).InputsAsNumpy() for i in range(graph.OperatorsLength())]
    crossed = next(pair for pair in inputs if len(pair) == 2)
    crossed[:] = crossed[::-1].copy()
    second.write_bytes(content)

    found = diff_bundles(first, second).differences

    assert [(d.part, d.name) for d in found] == [("member", "TF_LITE_PREFILL_DECODE")]


def test_trouble_is_told_apart_from_a_difference(
    demo_task: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["diff", str(demo_task), "/nowhere.task"]) == 2
    assert capsys.readouterr().err.startswith("error: bundle /nowhere.task does not exist")
