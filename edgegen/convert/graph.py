"""Turning the skeleton's weight inputs into constants."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from edgegen.convert.trace import WEIGHT_INPUT_PREFIX
from edgegen.errors import ConversionError

# The one argument position in which each operator may take a streamed weight. Anywhere else
# the converter would have folded or fused a real constant, and the graph would differ from
# an ordinary conversion.
_WEIGHT_ARGUMENT = {
    schema.BuiltinOperator.FULLY_CONNECTED: 1,
    schema.BuiltinOperator.EMBEDDING_LOOKUP: 1,
    schema.BuiltinOperator.CONV_2D: 1,
}


@dataclass(frozen=True)
class WeightUse:
    """A tensor through which one subgraph uses a weight."""

    subgraph: int
    tensor: int
    consumers: tuple[int, ...]


@dataclass(frozen=True)
class Weight:
    """A matrix of the graph, whose data is not there yet.

    Attributes:
        name: The parameter's name in the authored module.
        shape: Its dimensions.
        buffer: Index of the buffer that all its uses share.
        uses: Where it is used.
    """

    name: str
    shape: tuple[int, ...]
    buffer: int
    uses: tuple[WeightUse, ...]


def bind_weights(model: Any) -> list[Weight]:
    """Turn every `weights_*` input of `model` into a constant with an empty buffer.

    Weights that no signature uses disappear; a signature's inputs are the runtime's alone
    afterwards.

    Raises:
        ConversionError: a weight reaches an operator that cannot take it as a constant.
    """
    tensors: dict[str, dict[int, int]] = defaultdict(dict)
    for definition in model.signatureDefs:
        subgraph_id = definition.subgraphIndex
        subgraph = model.subgraphs[subgraph_id]
        taken = {}
        for item in definition.inputs:
            name = item.name.decode()
            if name.startswith(WEIGHT_INPUT_PREFIX):
                taken[name.removeprefix(WEIGHT_INPUT_PREFIX)] = item.tensorIndex
        definition.inputs = [
            item
            for item in definition.inputs
            if not item.name.decode().startswith(WEIGHT_INPUT_PREFIX)
        ]
        used = {index for operator in subgraph.operators for index in operator.inputs}
        unused = {index for index in taken.values() if index not in used}
        gone = set(taken.values())
        subgraph.inputs = [index for index in subgraph.inputs if index not in gone]
        moved = _drop_tensors(subgraph, definition, unused)
        for name, index in taken.items():
            if index not in unused:
                tensors[name][subgraph_id] = moved[index]
    return [_bind(model, name, where) for name, where in tensors.items()]


def _bind(model: Any, name: str, where: dict[int, int]) -> Weight:
    buffer = len(model.buffers)
    model.buffers.append(schema.BufferT())
    uses = []
    shape: tuple[int, ...] = ()
    for subgraph_id, index in where.items():
        subgraph = model.subgraphs[subgraph_id]
        subgraph.tensors[index].buffer = buffer
        shape = tuple(int(n) for n in subgraph.tensors[index].shape)
        consumers = _consumers(model, subgraph, name, index)
        uses.append(WeightUse(subgraph_id, index, consumers))
    return Weight(name, shape, buffer, tuple(uses))


def _consumers(model: Any, subgraph: Any, name: str, index: int) -> tuple[int, ...]:
    consumers = []
    for op_id, operator in enumerate(subgraph.operators):
        positions = [i for i, tensor in enumerate(operator.inputs) if tensor == index]
        if not positions:
            continue
        code = model.operatorCodes[operator.opcodeIndex].builtinCode
        if positions != [_WEIGHT_ARGUMENT.get(code)]:
            raise ConversionError(
                f"matrix {name} reaches operator code {code} of {subgraph.name.decode()} as "
                f"argument {positions}, expected only the weights of a linear, embedding or "
                "convolution layer",
                "transpose, scale or join matrices while their weights are loaded, not in the "
                "layer's forward",
            )
        consumers.append(op_id)
    return tuple(consumers)


def _drop_tensors(subgraph: Any, definition: Any, dropped: set[int]) -> dict[int, int]:
    """Remove tensors and renumber the rest everywhere; return old index to new."""
    moved = {}
    kept: list[Any] = []
    for index, tensor in enumerate(subgraph.tensors):
        if index not in dropped:
            moved[index] = len(kept)
            kept.append(tensor)
    subgraph.tensors = kept
    moved[-1] = -1  # an optional argument that is absent
    subgraph.inputs = [moved[i] for i in subgraph.inputs]
    subgraph.outputs = [moved[i] for i in subgraph.outputs]
    for operator in subgraph.operators:
        operator.inputs = [moved[i] for i in operator.inputs]
        operator.outputs = [moved[i] for i in operator.outputs]
        if operator.intermediates is not None:
            operator.intermediates = [moved[i] for i in operator.intermediates]
    for item in (*definition.inputs, *definition.outputs):
        item.tensorIndex = moved[item.tensorIndex]
    return moved
