"""Values that stand for a model's vectors while it is traced, and can be found again.

Norms and biases are constants of the graph, and the converter computes with them: it stores
`1 + weight`, or another shape. Where a graph serves for other layers or other checkpoints than it
was traced with, each of its constants must be known as what it is made of. So random values are
traced, no two alike, and looked for in the graph.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float32]

# So large that whatever is computed with it is large, too, and no other constant is: what is not
# found as it was, or plus one, is at least known to depend on a vector.
_MARK = np.float32(2.0**125)
_EACH = 8
_LEAST_MARKED = 2.0**100


class UnknownConstantError(Exception):
    """A constant depends on a vector in a way that is not known here."""


@dataclass(frozen=True)
class VectorUse:
    """What a constant of the graph is made of.

    Attributes:
        name: The parameter, as traced.
        plus_one: Whether one is added, as by norms that store their distance from it.
    """

    name: str
    plus_one: bool

    def of(self, vector: Values) -> bytes:
        """Return the constant for other values of the vector."""
        return (_plus_one(vector) if self.plus_one else vector).tobytes()


def stand_in(name: str, shape: tuple[int, ...]) -> Values:
    """Return values that no other name has, in 1 to 2 but for marks here and there."""
    random = np.random.default_rng(zlib.crc32(name.encode()))
    values = (1 + random.random(shape, np.float32)).astype(np.float32)
    values.reshape(-1)[::_EACH] = _MARK
    return values


def find_uses(part: Any, shapes: Mapping[str, tuple[int, ...]]) -> dict[int, VectorUse]:
    """Find the vectors among the constants of a `ModelT` that was traced with stand-ins.

    Returns:
        For each buffer that holds one, what it is made of.

    Raises:
        UnknownConstantError: a constant is made of a vector in another way.
    """
    known: dict[bytes, VectorUse] = {}
    for name, shape in shapes.items():
        values = stand_in(name, shape)
        known[values.tobytes()] = VectorUse(name, plus_one=False)
        known[_plus_one(values).tobytes()] = VectorUse(name, plus_one=True)
    found = {}
    for index, data in _float_buffers(part):
        use = known.get(data)
        if use is not None:
            found[index] = use
        elif not (np.abs(np.frombuffer(data, np.float32)) < _LEAST_MARKED).all():
            raise UnknownConstantError("a constant is computed from a vector")
    return found


def _plus_one(values: Values) -> Values:
    return np.float32(1) + values


def _float_buffers(part: Any) -> Iterable[tuple[int, bytes]]:
    from ai_edge_litert import schema_py_generated as schema

    indices = {
        tensor.buffer
        for subgraph in part.subgraphs
        for tensor in subgraph.tensors
        if tensor.type == schema.TensorType.FLOAT32
    }
    for index in sorted(indices):
        data = part.buffers[index].data
        if data is not None:
            yield index, bytes(data)
