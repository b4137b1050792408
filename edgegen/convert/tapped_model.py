"""A converted model that also hands back what its operators compute on the way.

The interpreter can keep all tensors by itself, but only without XNNPACK, and its own kernels do not
compute with 4 bits what XNNPACK's do. So the intermediate tensors become outputs, and the same
kernels run as ever.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils

from edgegen.convert.replay import ReplaySession

_TAP_PREFIX = "tap_"
_ALIGNMENT = 64
_INTEGERS = {schema.TensorType.INT8, schema.TensorType.INT4, schema.TensorType.INT2}
# With integer weights these round their activations to int8, too.
_PRODUCTS = {schema.BuiltinOperator.FULLY_CONNECTED, schema.BuiltinOperator.CONV_2D}
_MOVEMENTS = {
    schema.BuiltinOperator.RESHAPE,
    schema.BuiltinOperator.TRANSPOSE,
    schema.BuiltinOperator.SLICE,
    schema.BuiltinOperator.STRIDED_SLICE,
    schema.BuiltinOperator.SPLIT,
    schema.BuiltinOperator.CONCATENATION,
    schema.BuiltinOperator.BROADCAST_TO,
    schema.BuiltinOperator.DYNAMIC_UPDATE_SLICE,
}


@dataclass(frozen=True)
class Tap:
    """What one operator of a TFLite graph computed in a call.

    Attributes:
        value: Its output.
        rounds: Whether it rounds what comes in to int8.
        moves: Whether it only rearranges what comes in.
    """

    value: npt.NDArray[Any]
    rounds: bool
    moves: bool


@dataclass(frozen=True)
class TappedCall:
    """One call of a signature.

    Attributes:
        signature: Its name.
        tokens: int32 `[1, T]`.
        positions: int32 `[T]`.
        caches: The caches before the call, by name.
        outputs: What the signature hands back, by name.
        taps: What its operators computed, in their order.
    """

    signature: str
    tokens: npt.NDArray[np.int32]
    positions: npt.NDArray[np.int32]
    caches: dict[str, npt.NDArray[np.float32]]
    outputs: dict[str, npt.NDArray[Any]]
    taps: tuple[Tap, ...]


class TappedSession(ReplaySession):
    """A session that keeps what the operators of one signature computed in its last call.

    Args:
        path: As `TfliteSession`.
        signature: Which one.
        scratch: The model is written there once more.
        num_threads: As `TfliteSession`.
    """

    last: TappedCall | None = None

    def __init__(
        self, path: Path, signature: str, scratch: Path, *, num_threads: int | None = None
    ) -> None:
        tapped = scratch / f"tapped-{signature}.tflite"
        self._kinds = write_tapped(path, signature, tapped)
        self._tapped_signature = signature
        super().__init__(tapped, num_threads=num_threads)

    def _run(
        self,
        signature: str,
        tokens: npt.NDArray[np.int32],
        positions: npt.NDArray[np.int32],
        count: int,
    ) -> dict[str, Any]:
        caches = self.caches
        outputs = super()._run(signature, tokens, positions, count)
        if signature == self._tapped_signature:
            own = {name: v for name, v in outputs.items() if name not in self._kinds}
            taps = tuple(
                Tap(np.asarray(outputs[name]), *kinds) for name, kinds in self._kinds.items()
            )
            self.last = TappedCall(signature, tokens, positions, caches, own, taps)
        return outputs


def write_tapped(path: Path, signature: str, output: Path) -> dict[str, tuple[bool, bool]]:
    """Write a model whose signature has every tensor that depends on its inputs as an output.

    Returns:
        For the name of each new output whether its operator rounds, and whether it only moves.
    """
    with path.open("rb") as file:
        # Not closed by hand: the model's arrays look into it.
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    definition = next(d for d in model.signatureDefs if d.signatureKey == signature.encode())
    subgraph = model.subgraphs[definition.subgraphIndex]
    kinds, known, added = {}, set(subgraph.outputs), []
    for tensor, rounds, moves in _computed(model, subgraph):
        item = schema.TensorMapT()
        item.name, item.tensorIndex = f"{_TAP_PREFIX}{tensor}".encode(), tensor
        definition.outputs.append(item)
        kinds[item.name.decode()] = rounds, moves
        if tensor not in known:
            added.append(tensor)
    subgraph.outputs = [*subgraph.outputs, *added]
    output.unlink(missing_ok=True)  # an interpreter may still map the one before
    with output.open("wb") as target:
        _write_moved(model, memoryview(content), target.fileno())
    return kinds


def _computed(model: Any, subgraph: Any) -> Iterator[tuple[int, bool, bool]]:
    """Yield each tensor that depends on the inputs, whether rounded to get it, or only moved."""
    depends = set(subgraph.inputs)
    for operator in subgraph.operators:
        if depends.isdisjoint(operator.inputs):
            continue  # weights that are turned into floats again
        code = model.operatorCodes[operator.opcodeIndex].builtinCode
        integer = any(subgraph.tensors[i].type in _INTEGERS for i in operator.inputs if i >= 0)
        for tensor in operator.outputs:
            depends.add(tensor)
            yield int(tensor), integer and code in _PRODUCTS, code in _MOVEMENTS


def _write_moved(model: Any, content: memoryview, handle: int) -> None:
    """Write the longer header, and behind it the weights that the file holds past its own."""
    outside = [buffer for buffer in model.buffers if buffer.offset > 1]
    header = flatbuffer_utils.convert_object_to_bytearray(model)
    if outside:
        first = min(buffer.offset for buffer in outside)
        start = -(-len(header) // _ALIGNMENT) * _ALIGNMENT
        for buffer in outside:
            buffer.offset += start - first
        # Offsets have a fixed width: the header's length stays.
        header = flatbuffer_utils.convert_object_to_bytearray(model)
        _write(handle, content[first:], start)
    _write(handle, memoryview(header), 0)


def _write(handle: int, view: memoryview, position: int) -> None:
    while view:
        done = os.pwrite(handle, view, position)
        view, position = view[done:], position + done
