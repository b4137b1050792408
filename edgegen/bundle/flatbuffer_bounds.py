"""How much a TFLite flatbuffer may claim to hold before anybody walks through it.

A few bytes can say that there are millions of signatures, all of one graph, or a thousand tensors
of one name that is as long as the file. Walking them would take hours, and nothing would be found.
"""

from __future__ import annotations

from typing import Any

MAX_SIGNATURES = 256
MAX_RANK = 16
MAX_NAME_BYTES = 65536
# Tensors, operators, and what these read and write, for each signature anew. The largest models
# have some 10^5.
MAX_ENTRIES = 300_000

# Places of fields in their tables, as the schema numbers them.
_TENSOR_SHAPE, _TENSOR_NAME = 4, 10
_OPERATOR_INPUTS, _OPERATOR_OUTPUTS = 6, 8
_CODE_CUSTOM = 6
_MAP_NAME = 4
_SIGNATURE_KEY = 8


def check_bounds(model: Any) -> None:
    """Raise `ValueError` where a model claims more than any has.

    Args:
        model: What `schema.Model.GetRootAs` returned.
    """
    counts = _Counts()
    counts.add(model.BuffersLength())
    for i in counts.add(model.OperatorCodesLength()):
        _name(model.OperatorCodes(i), _CODE_CUSTOM)
    sizes = [counts.graph(model.Subgraphs(i)) for i in counts.add(model.SubgraphsLength())]
    if model.SignatureDefsLength() > MAX_SIGNATURES:
        raise ValueError(
            f"it has {model.SignatureDefsLength()} signatures, expected at most {MAX_SIGNATURES}"
        )
    for i in range(model.SignatureDefsLength()):
        definition = model.SignatureDefs(i)
        _name(definition, _SIGNATURE_KEY)
        counts.add(sizes[definition.SubgraphIndex()])
        for j in counts.add(definition.InputsLength()):
            _name(definition.Inputs(j), _MAP_NAME)
        for j in counts.add(definition.OutputsLength()):
            _name(definition.Outputs(j), _MAP_NAME)


class _Counts:
    def __init__(self) -> None:
        self._total = 0

    def add(self, count: int) -> range:
        self._total += count
        if self._total > MAX_ENTRIES:
            raise ValueError(f"it lists more than {MAX_ENTRIES} tensors and operators")
        return range(count)

    def graph(self, graph: Any) -> int:
        """Check one graph; return how many entries it has."""
        before = self._total
        for i in self.add(graph.TensorsLength()):
            tensor = graph.Tensors(i)
            _name(tensor, _TENSOR_NAME)
            rank = _length(tensor, _TENSOR_SHAPE)
            if rank > MAX_RANK:
                raise ValueError(f"a tensor has {rank} dimensions, expected at most {MAX_RANK}")
        for i in self.add(graph.OperatorsLength()):
            operator = graph.Operators(i)
            self.add(_length(operator, _OPERATOR_INPUTS) + _length(operator, _OPERATOR_OUTPUTS))
        return self._total - before


def _name(table: Any, field: int) -> None:
    size = _length(table, field)
    if size > MAX_NAME_BYTES:
        raise ValueError(f"a name has {size} bytes, expected at most {MAX_NAME_BYTES}")


def _length(table: Any, field: int) -> int:
    """Return the length of a text or vector without reading it."""
    offset = table._tab.Offset(field)
    return int(table._tab.VectorLen(offset)) if offset else 0
