"""Joining the flatbuffers of single signatures into one multi-signature model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils

from edgegen.errors import ConversionError

# Operators that name another subgraph in their options. Composites are renumbered; the
# others do not come out of our layers.
_CONTROL_FLOW = {
    schema.BuiltinOperator.CALL,
    schema.BuiltinOperator.CALL_ONCE,
    schema.BuiltinOperator.IF,
    schema.BuiltinOperator.WHILE,
    schema.BuiltinOperator.STABLEHLO_WHILE,
}


def merge_signatures(parts: Mapping[str, bytes]) -> Any:
    """Merge single-signature models into one `ModelT`.

    Args:
        parts: Signature name to flatbuffer. Their small constants are merged by content.

    Returns:
        The model in flatbuffers' object form. Tensors and subgraphs carry their signature's
        name in front, since names repeat between parts and quantizers demand unique ones.
    """
    merged = schema.ModelT()
    merged.buffers, merged.subgraphs = [schema.BufferT()], []
    merged.operatorCodes, merged.signatureDefs = [], []
    known_buffers: dict[bytes, int] = {}
    for signature, content in parts.items():
        part = flatbuffer_utils.convert_bytearray_to_object(bytearray(content))
        _refuse_control_flow(part)
        base = len(merged.subgraphs)
        buffer_ids = [_add_buffer(merged, known_buffers, buffer) for buffer in part.buffers]
        code_ids = [_add_operator_code(merged, code) for code in part.operatorCodes]
        for subgraph in part.subgraphs:
            _move_subgraph(subgraph, signature, base, buffer_ids, code_ids)
            merged.subgraphs.append(subgraph)
        for definition in part.signatureDefs:
            definition.subgraphIndex += base
            # The engines' logs call a signature by its subgraph's name.
            merged.subgraphs[definition.subgraphIndex].name = signature.encode()
            merged.signatureDefs.append(definition)
        if base == 0:
            # Version, description and metadata say which converter made the parts: the same.
            merged.version, merged.description = part.version, part.description
            merged.metadata = part.metadata
            for entry in merged.metadata or []:
                entry.buffer = buffer_ids[entry.buffer]
    return merged


def _add_buffer(model: Any, known: dict[bytes, int], buffer: Any) -> int:
    """Return the index of a buffer with that content; those without data are all number 0.

    No data and data of no length differ: the second is a constant (the shape of a scalar),
    and the GPU delegates refuse a RESHAPE whose shape is not one.
    """
    if buffer.data is None:
        return 0
    content = bytes(buffer.data)
    if content not in known:
        known[content] = len(model.buffers)
        model.buffers.append(buffer)
    return known[content]


def _add_operator_code(model: Any, code: Any) -> int:
    key = (code.builtinCode, code.customCode, code.version)
    for index, other in enumerate(model.operatorCodes):
        if (other.builtinCode, other.customCode, other.version) == key:
            return index
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1


def _move_subgraph(
    subgraph: Any, signature: str, base: int, buffer_ids: list[int], code_ids: list[int]
) -> None:
    prefix = f"{signature}/".encode()
    subgraph.name = prefix + (subgraph.name or b"")
    for tensor in subgraph.tensors:
        tensor.buffer = buffer_ids[tensor.buffer]
        tensor.name = prefix + (tensor.name or b"")
    for operator in subgraph.operators:
        operator.opcodeIndex = code_ids[operator.opcodeIndex]
        options = operator.builtinOptions2
        if isinstance(options, schema.StableHLOCompositeOptionsT):
            options.decompositionSubgraphIndex += base


def _refuse_control_flow(part: Any) -> None:
    codes = {code.builtinCode for code in part.operatorCodes}
    if found := codes & _CONTROL_FLOW:
        raise ConversionError(
            f"the traced graph has control-flow operators (builtin codes {sorted(found)}), "
            "which cannot be merged into one model",
            "rewrite the layer so that its graph does not depend on values",
        )
