"""The ordinary way to the same model: real weights through the converter, then the quantizer.

It is the oracle of the streamed path: slow, hungry, and trusted.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import litert_torch
import numpy as np
import torch
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils
from ai_edge_quantizer import quantizer
from ai_edge_quantizer.utils import tfl_flatbuffer_utils

from edgegen.author import AuthoredModel
from edgegen.convert import ExportSpec
from edgegen.convert.recipes import find_recipe
from edgegen.convert.trace import SignatureModule


def convert_ordinarily(model: AuthoredModel, spec: ExportSpec, recipe: str, output: Path) -> Path:
    convert_to_floats(model, spec, output)
    return quantize_ordinarily(model, output, recipe, output)


def convert_to_floats(model: AuthoredModel, spec: ExportSpec, output: Path) -> Path:
    converter = None
    state = model.load_state()
    for name, tokens in model.module.signatures(spec.prefill_lens).items():
        module = SignatureModule(model, state, name).eval()
        samples = model.module.sample_inputs(name, tokens, spec.kv_cache_len)
        inputs = {
            key: torch.zeros(value.shape) if value.dtype == torch.float32 else value
            for key, value in samples.items()
        }
        add = (converter or litert_torch).signature
        converter = add(name, module, sample_kwargs=inputs)
    with torch.no_grad():
        converter.convert(strict_export=False).export(str(output))
    return output


def quantize_ordinarily(model: AuthoredModel, floats: Path, recipe: str, output: Path) -> Path:
    quantizer_recipe = find_recipe(recipe).quantizer_recipe()
    if any(entry["regex"] != ".*" for entry in quantizer_recipe):
        quantizer_recipe = by_scope(model, floats, quantizer_recipe)
    if quantizer_recipe:
        result = quantizer.Quantizer(str(floats), quantizer_recipe).quantize()
        output.write_bytes(result.quantized_model)
    elif output != floats:
        output.write_bytes(floats.read_bytes())
    return output


def by_scope(
    model: AuthoredModel, path: Path, recipe: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Say the same with the names of an ordinary model's operators instead of its parameters'.

    Which parameter an operator uses is told by the values of its constant.
    """
    names = {entry.read().tobytes(): name for name, entry in model.sources.items()}
    graphs = Graphs(path)
    made = []
    for subgraph in graphs.model.subgraphs:
        for operator in subgraph.operators:
            for index in operator.inputs[1:2]:
                name = names.get(graphs.data(subgraph.tensors[index]) or b"")
                matching = [e for e in recipe if name and re.search(e["regex"], name)]
                scope = tfl_flatbuffer_utils.get_op_scope(operator, subgraph.tensors)
                made += [{**e, "regex": f"^{re.escape(scope)}$"} for e in matching[-1:]]
    return made


def differences(ordinary: Path, streamed: Path) -> list[str]:
    """Walk both models operator by operator and list everything that is not the same."""
    left, right = Graphs(ordinary), Graphs(streamed)
    found = []
    if left.signatures.keys() != right.signatures.keys():
        return [f"signatures {sorted(left.signatures)} and {sorted(right.signatures)}"]
    for name in left.signatures:
        found += [f"{name}: {text}" for text in _compare(left, right, name)]
    return found


class Graphs:
    def __init__(self, path: Path) -> None:
        self.content = path.read_bytes()
        self.model = flatbuffer_utils.convert_bytearray_to_object(bytearray(self.content))
        self.signatures = {d.signatureKey.decode(): d for d in self.model.signatureDefs}

    def data(self, tensor: Any) -> bytes | None:
        buffer = self.model.buffers[tensor.buffer]
        if buffer.offset and buffer.offset > 1:
            return self.content[buffer.offset : buffer.offset + buffer.size]
        # None is a value computed at run time; data of no length is a constant.
        return None if buffer.data is None else bytes(buffer.data)

    def code(self, operator: Any) -> tuple[Any, ...]:
        code = self.model.operatorCodes[operator.opcodeIndex]
        return code.builtinCode, code.customCode, code.version


def _compare(left: Graphs, right: Graphs, name: str) -> list[str]:
    a, b = left.signatures[name], right.signatures[name]
    found = []
    for kind in ("inputs", "outputs"):
        names = [sorted(item.name for item in getattr(d, kind)) for d in (a, b)]
        if names[0] != names[1]:
            found.append(f"{kind} {names[0]} and {names[1]}")
    graph_a = left.model.subgraphs[a.subgraphIndex]
    graph_b = right.model.subgraphs[b.subgraphIndex]
    if graph_a.name != graph_b.name:
        found.append(f"subgraph names {graph_a.name!r} and {graph_b.name!r}")
    codes_a = [left.code(op) for op in graph_a.operators]
    codes_b = [right.code(op) for op in graph_b.operators]
    if codes_a != codes_b:
        return [*found, f"operators differ: {len(codes_a)} and {len(codes_b)}"]
    wires = _Wires()
    for ours, theirs in zip(_by_name(a.inputs), _by_name(b.inputs), strict=False):
        wires.differ(*ours, *theirs)
    for index, (op_a, op_b) in enumerate(zip(graph_a.operators, graph_b.operators, strict=True)):
        if _options(op_a) != _options(op_b):
            found.append(f"op {index} {codes_a[index][0]} options")
        for side in ("inputs", "outputs"):
            pairs = zip(getattr(op_a, side), getattr(op_b, side), strict=True)
            for tensor_a, tensor_b in pairs:
                if (tensor_a < 0) != (tensor_b < 0):
                    found.append(f"op {index} {side}: optional tensor")
                elif tensor_a >= 0:
                    text = _tensor_difference(left, right, graph_a, graph_b, tensor_a, tensor_b)
                    if not text and left.data(graph_a.tensors[tensor_a]) is None:
                        text = wires.differ("", tensor_a, "", tensor_b)
                    if text:
                        found.append(f"op {index} {codes_a[index][0]} {side}: {text}")
    for ours, theirs in zip(_by_name(a.outputs), _by_name(b.outputs), strict=False):
        if text := wires.differ(*ours, *theirs):
            found.append(f"output {text}")
    return found


class _Wires:
    """Which tensor of the one graph is which of the other, as far as was seen."""

    def __init__(self) -> None:
        self.right: dict[int, int] = {}
        self.left: dict[int, int] = {}

    def differ(self, name_a: str, a: int, name_b: str, b: int) -> str:
        a, b = int(a), int(b)
        if self.right.setdefault(a, b) != b or self.left.setdefault(b, a) != a:
            return f"{name_a or a} and {name_b or b} are not the same value"
        return ""


def _by_name(items: Any) -> list[tuple[str, int]]:
    return sorted((item.name.decode(), int(item.tensorIndex)) for item in items)


def _options(operator: Any) -> list[object]:
    found: list[object] = []
    for options in (operator.builtinOptions, operator.builtinOptions2):
        # Inner graphs are numbered by what else is in the file.
        values = {} if options is None else dict(vars(options))
        values.pop("decompositionSubgraphIndex", None)
        found.append((type(options).__name__, sorted((k, repr(v)) for k, v in values.items())))
    return [*found, bytes(operator.customOptions or b"")]


def _tensor_difference(
    left: Graphs, right: Graphs, graph_a: Any, graph_b: Any, index_a: int, index_b: int
) -> str:
    a, b = graph_a.tensors[index_a], graph_b.tensors[index_b]
    if a.type != b.type or list(a.shape) != list(b.shape):
        return f"type or shape {a.type} {list(a.shape)} and {b.type} {list(b.shape)}"
    if left.data(a) != right.data(b):
        return f"constant data of {a.name!r}"
    qa, qb = a.quantization, b.quantization
    for field in ("scale", "zeroPoint"):
        va, vb = getattr(qa, field, None), getattr(qb, field, None)
        if (va is None) != (vb is None) or (va is not None and not np.array_equal(va, vb)):
            return f"{field} of {a.name!r}"
    if getattr(qa, "quantizedDimension", 0) != getattr(qb, "quantizedDimension", 0):
        return f"quantizedDimension of {a.name!r}"
    da, db = getattr(qa, "details", None), getattr(qb, "details", None)
    if isinstance(da, schema.BlockwiseQuantizationT) != isinstance(
        db, schema.BlockwiseQuantizationT
    ):
        return f"blockwise details of {a.name!r}"
    if isinstance(da, schema.BlockwiseQuantizationT):
        if da.blockSize != db.blockSize or da.zeroPoints != db.zeroPoints:
            return f"block size of {a.name!r}"
        return _tensor_difference(left, right, graph_a, graph_b, da.scales, db.scales)
    return ""
