"""Models that claim to hold more than any does are refused before anybody walks through them."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flatbuffers
import pytest
from ai_edge_litert import schema_py_generated as schema

from edgegen.bundle import open_bundle
from edgegen.bundle.doctor.graph import read_graphs
from edgegen.bundle.flatbuffer import read_model, read_tensors
from edgegen.errors import BundleError


def signatures(model: Any) -> None:
    definitions = []
    for number in range(257):
        definition = copy.copy(model.signatureDefs[0])
        definition.signatureKey = b"prefill_%d" % number
        definitions.append(definition)
    model.signatureDefs = definitions


def one_graph_many_times(model: Any) -> None:
    """All fit their own limits; what they would make together does not."""
    model.subgraphs[0].tensors = model.subgraphs[0].tensors * 20
    definition = model.signatureDefs[0]
    definition.subgraphIndex = 0
    model.signatureDefs = [definition] * 200


def dimensions(model: Any) -> None:
    model.subgraphs[0].tensors[0].shape = [1] * 17


def names(model: Any) -> None:
    model.subgraphs[0].tensors[0].name = b"x" * 65537


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (signatures, "it has 257 signatures, expected at most 256"),
        (one_graph_many_times, "it lists more than 300000 tensors and operators"),
        (dimensions, "a tensor has 17 dimensions, expected at most 16"),
        (names, "a name has 65537 bytes, expected at most 65536"),
    ],
)
def test_what_no_model_has_is_refused_at_once(
    demo_task: Path, tmp_path: Path, spoil: Callable[[Any], None], says: str
) -> None:
    offset, size = open_bundle(demo_task).model_span
    content = demo_task.read_bytes()[offset : offset + size]
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    spoil(model)
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), b"TFL3")
    path = tmp_path / "model.tflite"
    path.write_bytes(builder.Output())

    for read in (read_model, read_tensors, read_graphs):
        started = time.monotonic()
        with pytest.raises(BundleError) as caught:
            read(path, (0, path.stat().st_size))  # type: ignore[operator]
        assert time.monotonic() - started < 10
        assert caught.value.message == f"the TFLite model in {path} is damaged: {says}"
        assert caught.value.hint == "build, download or copy it again"
