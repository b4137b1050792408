"""How many bytes of weights one step of decode reads: what bounds its rate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgegen.bundle.contents import Bundle
from edgegen.bundle.flatbuffer import names_of, operations_of, operator_names, read_mapped
from edgegen.bundle.flatbuffer_bounds import check_bounds
from edgegen.contract import DECODE

# Operators that read the rows they are asked for, with the place of the table among the inputs.
_LOOKUPS = {"EMBEDDING_LOOKUP": 1, "GATHER": 0}
# Operators that hand a constant on, in another type or shape.
_PASSING = frozenset(("DEQUANTIZE", "CAST", "RESHAPE", "TRANSPOSE"))
# Integers of 32 and 64 bits are shapes and indices, and no weights.
_INDICES = frozenset(("INT32", "INT64", "BOOL"))


@dataclass(frozen=True)
class WeightReads:
    """Bytes of weights, with the scales of blocks, and without those of channels, which are few.

    Attributes:
        stored_bytes: All that the model stores, each constant once.
        per_decode_bytes: Of those, what one step of `decode` reads: a table that it looks up a
            row in counts with that row, one that it multiplies by as well counts whole; `None`
            where the model has no such signature.
    """

    stored_bytes: int
    per_decode_bytes: int | None


def read_weight_reads(bundle: Bundle) -> WeightReads:
    """Read them off the graph.

    Raises:
        BundleError: the model is damaged.
    """
    return read_mapped(bundle.path, bundle.model_span, _read)


def _read(data: memoryview) -> WeightReads:
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(data, 0)
    check_bounds(model)
    graphs = [model.Subgraphs(i) for i in range(model.SubgraphsLength())]
    types = names_of(schema.TensorType)
    stored: dict[int, int] = {}
    for graph in graphs:
        for parts in _constants(model, graph, types).values():
            stored |= {buffer: size for buffer, size, _ in parts}
    decode = None
    for i in range(model.SignatureDefsLength()):
        definition = model.SignatureDefs(i)
        if definition.SignatureKey() == DECODE.encode():
            graph = graphs[definition.SubgraphIndex()]
            decode = _step(graph, _constants(model, graph, types), operator_names(model, schema))
    return WeightReads(sum(stored.values()), decode)


# Buffer, bytes and rows of a weight, then those of its blocks' scales, if it has any.
_Parts = tuple[tuple[int, int, int], ...]


def _constants(model: Any, graph: Any, types: dict[int, str]) -> dict[int, _Parts]:
    """Return what each tensor that is a weight consists of, by its number."""
    alone = {}
    for i in range(graph.TensorsLength()):
        tensor = graph.Tensors(i)
        buffer = model.Buffers(tensor.Buffer())
        # Offset and size are set when the data lies behind the flatbuffer.
        size = buffer.Size() if buffer.Offset() > 1 else buffer.DataLength()
        if size and types.get(tensor.Type()) not in _INDICES:
            rows = int(tensor.Shape(0)) if tensor.ShapeLength() > 1 else 1
            alone[i] = (tensor.Buffer(), size, max(1, rows))
    found: dict[int, _Parts] = {}
    for i, part in alone.items():
        scales = alone.get(_block_scales(graph.Tensors(i)))
        found[i] = (part,) if scales is None else (part, scales)
    return found


def _block_scales(tensor: Any) -> int:
    """Return the number of the tensor with the scales of its blocks, -1 if there is none."""
    from ai_edge_litert import schema_py_generated as schema

    parameters = tensor.Quantization()
    if (
        parameters is None
        or parameters.DetailsType() != schema.QuantizationDetails.BlockwiseQuantization
    ):
        return -1
    blocks = schema.BlockwiseQuantization()
    table = parameters.Details()
    blocks.Init(table.Bytes, table.Pos)
    return int(blocks.Scales())


def _step(graph: Any, constants: dict[int, _Parts], names: list[str]) -> int:
    """Return the bytes that one run of a graph reads of its constants."""
    from ai_edge_litert import schema_py_generated as schema

    aliases = dict(constants)
    whole: dict[int, int] = {}
    row: dict[int, int] = {}
    for i, name in enumerate(operations_of(graph, names, schema)):
        operator = graph.Operators(i)
        inputs = [int(operator.Inputs(k)) for k in range(operator.InputsLength())]
        if name in _PASSING and inputs and inputs[0] in aliases:
            aliases[int(operator.Outputs(0))] = aliases[inputs[0]]
            continue
        for place, tensor in enumerate(inputs):
            if tensor not in aliases:
                continue
            for buffer, size, rows in aliases[tensor]:
                if _LOOKUPS.get(name) == place:
                    row[buffer] = max(row.get(buffer, 0), size // rows)
                else:
                    whole[buffer] = size
    return sum(whole.values()) + sum(size for one, size in row.items() if one not in whole)
