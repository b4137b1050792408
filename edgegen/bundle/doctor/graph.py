"""A model's tensors and operators, read off its flatbuffer without trusting it.

Where `edgegen.bundle.flatbuffer` counts, this follows: which operator makes which tensor, which
bytes a constant has, and whether all of that lies within the file. No weights are read.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgegen.bundle.flatbuffer import read_mapped
from edgegen.bundle.flatbuffer_bounds import check_bounds

# Bits of one element; strings and resources have no fixed size.
BITS = {
    "FLOAT64": 64,
    "INT64": 64,
    "UINT64": 64,
    "FLOAT32": 32,
    "INT32": 32,
    "UINT32": 32,
    "FLOAT16": 16,
    "BFLOAT16": 16,
    "INT16": 16,
    "UINT16": 16,
    "INT8": 8,
    "UINT8": 8,
    "BOOL": 8,
    "INT4": 4,
    "UINT4": 4,
    "INT2": 2,
}


@dataclass(frozen=True)
class GraphTensor:
    """A tensor of one signature's graph.

    Attributes:
        name: Its name.
        dtype: TFLite's name.
        shape: Its dimensions.
        buffer: Number of its buffer.
        size: Bytes of its constant content; 0 where it is computed.
        scales: How many quantization scales it has, 0 for none.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    buffer: int
    size: int
    scales: int

    @property
    def nbytes(self) -> int | None:
        """Bytes that its shape takes; `None` for types of no fixed size."""
        bits = BITS.get(self.dtype)
        return None if bits is None else -(-math.prod(self.shape) * bits // 8)


@dataclass(frozen=True)
class Operator:
    """An operator.

    Attributes:
        name: TFLite's name; of composites and custom operators with theirs after a colon.
        inputs: Numbers of its tensors; -1 where an optional one is left out.
        outputs: Likewise.
    """

    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True)
class SignatureGraph:
    """The graph behind a signature.

    Attributes:
        name: The signature.
        tensors: By number.
        operators: In the order in which they run.
        inputs: Name -> number of the tensor.
        outputs: Name -> number of the tensor.
    """

    name: str
    tensors: tuple[GraphTensor, ...]
    operators: tuple[Operator, ...]
    inputs: dict[str, int]
    outputs: dict[str, int]
    _makers: dict[int, int] = field(default_factory=dict, repr=False, compare=False)

    def maker(self, tensor: int) -> Operator | None:
        """Return the operator that computes a tensor."""
        if not self._makers:
            self._makers.update(
                (made, i) for i, one in enumerate(self.operators) for made in one.outputs
            )
        found = self._makers.get(tensor)
        return None if found is None else self.operators[found]


def read_graphs(path: Path, span: tuple[int, int]) -> tuple[SignatureGraph, ...]:
    """Read the graph of each signature of the model at `span` (offset, size) of a file.

    Every table is followed within the span, every number of a tensor, buffer or operator is one
    that exists, and every buffer lies within the span.

    Raises:
        BundleError: the model is damaged or cut off, or the file cannot be read.
    """
    return read_mapped(path, span, lambda data: _Reader(data).graphs())


class _Reader:
    def __init__(self, data: memoryview) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self._schema, self._data = schema, data
        self._model = schema.Model.GetRootAs(data, 0)
        check_bounds(self._model)
        self._types = _numbered(schema.TensorType)
        self._builtins = _numbered(schema.BuiltinOperator)
        self._sizes = [self._buffer_size(i) for i in range(self._model.BuffersLength())]
        self._codes = [self._code(i) for i in range(self._model.OperatorCodesLength())]

    def graphs(self) -> tuple[SignatureGraph, ...]:
        model = self._model
        definitions = [model.SignatureDefs(i) for i in range(model.SignatureDefsLength())]
        return tuple(
            self._graph(definition, model.Subgraphs(definition.SubgraphIndex()))
            for definition in definitions
            if definition.SubgraphIndex() < model.SubgraphsLength()
        )

    def _buffer_size(self, number: int) -> int:
        buffer = self._model.Buffers(number)
        start, size = int(buffer.Offset()), int(buffer.Size())
        # Offset and size are set when the data lies behind the flatbuffer.
        if start <= 1:
            size = int(buffer.DataLength())
            field_at = buffer._tab.Offset(4)
            start = int(buffer._tab.Vector(field_at)) if field_at else 0
        if start + size > len(self._data):
            raise ValueError(
                f"buffer {number} should end at byte {start + size}, the model ends at "
                f"{len(self._data)}"
            )
        return size

    def _code(self, number: int) -> str:
        code = self._model.OperatorCodes(number)
        # Files from before there were 127 operators have the older field only.
        builtin = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        name = self._builtins.get(builtin, f"OPERATOR_{builtin}")
        return f"{name}:{_text(code.CustomCode())}" if name == "CUSTOM" else name

    def _graph(self, definition: Any, graph: Any) -> SignatureGraph:
        tensors = tuple(self._tensor(graph.Tensors(i)) for i in range(graph.TensorsLength()))
        operators = tuple(
            self._operator(graph.Operators(i), len(tensors)) for i in range(graph.OperatorsLength())
        )
        ends: list[dict[str, int]] = []
        for item, count in (
            (definition.Inputs, definition.InputsLength()),
            (definition.Outputs, definition.OutputsLength()),
        ):
            ends.append({})
            for i in range(count):
                entry = item(i)
                if entry.TensorIndex() >= len(tensors):
                    raise ValueError(f"a signature names tensor {entry.TensorIndex()}")
                ends[-1][_text(entry.Name())] = int(entry.TensorIndex())
        inputs, outputs = ends
        return SignatureGraph(_text(definition.SignatureKey()), tensors, operators, inputs, outputs)

    def _tensor(self, tensor: Any) -> GraphTensor:
        quantization = tensor.Quantization()
        return GraphTensor(
            name=_text(tensor.Name()),
            dtype=self._types.get(tensor.Type(), f"TYPE_{tensor.Type()}"),
            shape=_whole(tensor.ShapeAsNumpy()),
            buffer=int(tensor.Buffer()),
            size=self._sizes[tensor.Buffer()],
            scales=0 if quantization is None else int(quantization.ScaleLength()),
        )

    def _operator(self, operator: Any, tensors: int) -> Operator:
        name = self._codes[operator.OpcodeIndex()]
        if name == "STABLEHLO_COMPOSITE":
            options = self._schema.StableHLOCompositeOptions()
            table = operator.BuiltinOptions2()
            options.Init(table.Bytes, table.Pos)
            name = f"{name}:{_text(options.Name())}"
        return Operator(
            name,
            _numbers(_whole(operator.InputsAsNumpy()), tensors),
            _numbers(_whole(operator.OutputsAsNumpy()), tensors),
        )


def _numbers(found: tuple[int, ...], tensors: int) -> tuple[int, ...]:
    for number in found:
        if not -1 <= number < tensors:
            raise ValueError(f"an operator names tensor {number} of {tensors}")
    return found


def _whole(vector: Any) -> tuple[int, ...]:
    """Return a vector of numbers, which the schema has as 0 where it is absent.

    Views of the file must not outlive this call, not even in the frames of an error: the file
    could not be unmapped.
    """
    return () if isinstance(vector, int) else tuple(vector.tolist())


def _numbered(enumeration: type) -> dict[int, str]:
    return {value: name for name, value in vars(enumeration).items() if isinstance(value, int)}


def _text(value: bytes | None) -> str:
    return (value or b"").decode("utf-8")
