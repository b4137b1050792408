"""Signatures, operations and weight sizes of a TFLite flatbuffer, through a memory map.

Only tables are touched. Weights stay on disk, be they inside the flatbuffer or, as with
models over 2 GB, behind it.
"""

from __future__ import annotations

import hashlib
import math
import mmap
import struct
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from edgegen.bundle.flatbuffer_bounds import check_bounds
from edgegen.bundle.reading import reading
from edgegen.errors import BundleError

# Types whose constants are weights; integers of 32 and 64 bits are shapes and indices.
_WEIGHT_TYPES = frozenset(
    ("FLOAT32", "FLOAT16", "BFLOAT16", "INT16", "INT8", "UINT8", "INT4", "UINT4", "INT2")
)


@dataclass(frozen=True)
class TensorInfo:
    """An input or output.

    Attributes:
        dtype: TFLite's name, such as `FLOAT32`.
        shape: Its dimensions.
    """

    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Signature:
    """An entry point of the model.

    Attributes:
        name: `decode`, `prefill_128` and so on.
        inputs: By name.
        outputs: By name.
        operations: How often each operation occurs, most frequent first.
    """

    name: str
    inputs: Mapping[str, TensorInfo]
    outputs: Mapping[str, TensorInfo]
    operations: Mapping[str, int]


@dataclass(frozen=True)
class WeightStorage:
    """The constants of one type.

    Attributes:
        dtype: TFLite's name, such as `INT8`.
        tensors: How many there are, each stored buffer once.
        elements: Their elements.
        nbytes: Bytes they take, without quantization scales.
    """

    dtype: str
    tensors: int
    elements: int
    nbytes: int


@dataclass(frozen=True)
class StoredTensor:
    """A constant of the model.

    Attributes:
        name: Its name; for matrices the parameter's.
        dtype: TFLite's name of its type.
        shape: Its dimensions.
        nbytes: Bytes it takes, without scales.
        quantization: What each scale is for; `None` where there is none.
        sha256: Hash of its bytes, and then of its scales.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    nbytes: int
    quantization: str | None
    sha256: str


def read_model(
    path: Path, span: tuple[int, int]
) -> tuple[tuple[Signature, ...], tuple[WeightStorage, ...]]:
    """Read signatures and weight storage of the flatbuffer at `span` (offset, size) of a file.

    Raises:
        BundleError: it is damaged, or the file cannot be read.
    """
    return read_mapped(path, span, _read)


def read_tensors(path: Path, span: tuple[int, int]) -> tuple[StoredTensor, ...]:
    """Read what constants the flatbuffer at `span` (offset, size) of a file stores.

    Raises:
        BundleError: it is damaged, or the file cannot be read.
    """
    return read_mapped(path, span, _read_tensors)


_Found = TypeVar("_Found")


def read_mapped(path: Path, span: tuple[int, int], read: Callable[[memoryview], _Found]) -> _Found:
    """Call `read` with the flatbuffer at `span` (offset, size) of a file, mapped.

    Raises:
        BundleError: it is damaged, or the file cannot be read.
    """
    offset, size = span
    try:
        with (
            reading(path),
            path.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
            memoryview(mapped) as whole,
            whole[offset : offset + size] as data,
        ):
            return read(data)
    except (
        struct.error,
        IndexError,
        ValueError,
        TypeError,
        AttributeError,  # what is absent reads as None
        OverflowError,
    ) as error:
        raise BundleError(
            f"the TFLite model in {path} is damaged: {error}",
            "build, download or copy it again",
        ) from error


def _read(data: memoryview) -> tuple[tuple[Signature, ...], tuple[WeightStorage, ...]]:
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(data, 0)
    check_bounds(model)
    types = names_of(schema.TensorType)
    operators = operator_names(model, schema)
    graphs = [model.Subgraphs(i) for i in range(model.SubgraphsLength())]
    signatures = []
    for i in range(model.SignatureDefsLength()):
        definition = model.SignatureDefs(i)
        graph = graphs[definition.SubgraphIndex()]
        counts = Counter(operations_of(graph, operators, schema))
        signatures.append(
            Signature(
                name=_text(definition.SignatureKey()),
                inputs=_tensors(graph, definition.Inputs, definition.InputsLength(), types),
                outputs=_tensors(graph, definition.Outputs, definition.OutputsLength(), types),
                operations=dict(counts.most_common()),
            )
        )
    return tuple(signatures), _weights(model, graphs, types)


def names_of(enumeration: type) -> dict[int, str]:
    """Return the names of a schema's enumeration by number."""
    return {value: name for name, value in vars(enumeration).items() if isinstance(value, int)}


def operator_names(model: Any, schema: Any) -> list[str]:
    """Return the name of each operator code of a model."""
    builtin = names_of(schema.BuiltinOperator)
    names = []
    for i in range(model.OperatorCodesLength()):
        code = model.OperatorCodes(i)
        # Files from before there were 127 operators have the older field only.
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        name = builtin.get(number, f"OPERATOR_{number}")
        names.append(_text(code.CustomCode()) if name == "CUSTOM" else name)
    return names


def operations_of(graph: Any, names: list[str], schema: Any) -> Iterator[str]:
    """Yield the name of each operator of a graph, in order."""
    for i in range(graph.OperatorsLength()):
        operator = graph.Operators(i)
        name = names[operator.OpcodeIndex()]
        if name == "STABLEHLO_COMPOSITE":
            options = schema.StableHLOCompositeOptions()
            table = operator.BuiltinOptions2()
            options.Init(table.Bytes, table.Pos)
            name = f"{name}:{_text(options.Name())}"
        yield name


def _tensors(graph: Any, item: Any, count: int, types: dict[int, str]) -> dict[str, TensorInfo]:
    found = {}
    for i in range(count):
        entry = item(i)
        tensor = graph.Tensors(entry.TensorIndex())
        found[_text(entry.Name())] = TensorInfo(_dtype(tensor, types), _shape(tensor))
    return dict(sorted(found.items()))


def _weights(model: Any, graphs: list[Any], types: dict[int, str]) -> tuple[WeightStorage, ...]:
    tensors: Counter[str] = Counter()
    elements: Counter[str] = Counter()
    nbytes: Counter[str] = Counter()
    for tensor, _, size in _constants(model, graphs):
        dtype = _dtype(tensor, types)
        if dtype in _WEIGHT_TYPES:
            tensors[dtype] += 1
            elements[dtype] += math.prod(_shape(tensor))
            nbytes[dtype] += size
    return tuple(
        WeightStorage(dtype, tensors[dtype], elements[dtype], size)
        for dtype, size in nbytes.most_common()
    )


def _constants(model: Any, graphs: list[Any]) -> Iterator[tuple[Any, int | None, int]]:
    """Yield each stored buffer once: a tensor of it, its place where it lies behind the tables,
    and its size.
    """
    seen: set[int] = set()
    for graph in graphs:
        for i in range(graph.TensorsLength()):
            tensor = graph.Tensors(i)
            index = tensor.Buffer()
            if index in seen:
                continue
            buffer = model.Buffers(index)
            # Offset and size are set when the data lies behind the flatbuffer.
            outside = buffer.Offset() > 1
            size = buffer.Size() if outside else buffer.DataLength()
            if size:
                seen.add(index)
                yield tensor, buffer.Offset() if outside else None, size


def _read_tensors(data: memoryview) -> tuple[StoredTensor, ...]:
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(data, 0)
    check_bounds(model)
    types = names_of(schema.TensorType)
    graphs = [model.Subgraphs(i) for i in range(model.SubgraphsLength())]
    found, stored = [], 0
    for tensor, offset, size in _constants(model, graphs):
        stored += size
        if stored > len(data):
            raise ValueError("its constants lie over each other")
        if offset is not None and offset + size > len(data):
            raise ValueError(f"tensor {_text(tensor.Name())} ends behind the model")
        digest = hashlib.sha256()
        if offset is None:
            digest.update(memoryview(model.Buffers(tensor.Buffer()).DataAsNumpy()))
        else:
            with data[offset : offset + size] as content:
                digest.update(content)
        if tensor.Quantization() is not None and tensor.Quantization().ScaleLength():
            digest.update(bytes(tensor.Quantization().ScaleAsNumpy()))
        found.append(
            StoredTensor(
                # The converter writes the signature before an input's name.
                _text(tensor.Name()).rpartition("_weights_")[2],
                _dtype(tensor, types),
                _shape(tensor),
                size,
                _quantization(tensor, schema),
                digest.hexdigest(),
            )
        )
    return tuple(found)


def _quantization(tensor: Any, schema: Any) -> str | None:
    parameters = tensor.Quantization()
    if parameters is None:
        return None
    if parameters.DetailsType() == schema.QuantizationDetails.BlockwiseQuantization:
        blocks = schema.BlockwiseQuantization()
        table = parameters.Details()
        blocks.Init(table.Bytes, table.Pos)
        return f"blocks of {blocks.BlockSize()}"
    count = parameters.ScaleLength()
    if count == 0:
        return None
    return "tensor" if count == 1 else f"channels of dimension {parameters.QuantizedDimension()}"


def _dtype(tensor: Any, types: dict[int, str]) -> str:
    return types.get(tensor.Type(), f"TYPE_{tensor.Type()}")


def _shape(tensor: Any) -> tuple[int, ...]:
    return tuple(int(tensor.Shape(i)) for i in range(tensor.ShapeLength()))


def _text(value: bytes | None) -> str:
    return (value or b"").decode("utf-8")
