"""Making the graph of all layers from that of a few.

Operators stand in the order in which the model computes, so the operators of a layer are those
from the first that takes one of the layer's weights or caches up to the first of the next layer.
What such a block takes is the layer's own, comes from the block before it, or is common to all
layers and was computed before. `edgegen.convert.reduction` says which layers are traced.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgegen.convert.reduction import Reduction, layer_number, whole_name
from edgegen.convert.stand_ins import Values, VectorUse
from edgegen.convert.trace import WEIGHT_INPUT_PREFIX

_INPUTS, _OUTPUTS = "inputs", "outputs"


class UnlikeLayersError(Exception):
    """The traced graph is not as stamping takes it to be."""


def stamp(
    part: Any,
    uses: Mapping[int, VectorUse],
    reduction: Reduction,
    decoders: tuple[Any, Any],
    vector: Callable[[str], Values],
) -> None:
    """Turn the graph of a reduced decoder into that of the whole one, with its vectors.

    Args:
        part: The `ModelT` of one signature, traced with stand-ins; it is changed.
        uses: The vectors among its constants, by buffer.
        reduction: Which layers were traced.
        decoders: The `Decoder` that was traced, and the whole one.
        vector: Returns a vector by its parameter's name in the whole decoder.

    Raises:
        UnlikeLayersError: the graph cannot be stamped.
    """
    if len(part.subgraphs) != 1:
        raise UnlikeLayersError("it has inner graphs")
    names = _Names(*(decoder.cache_names() for decoder in decoders))
    graph = _TracedGraph(part, reduction, names)
    graph.require_regular()
    _Stamping(graph, names, uses, vector).run()


class _Names:
    """What inputs and outputs of the traced graph are called in the whole one."""

    def __init__(self, traced_caches: list[list[str]], caches: list[list[str]]) -> None:
        self.caches = caches
        self.places = {
            name: (layer, place)
            for layer, names in enumerate(traced_caches)
            for place, name in enumerate(names)
        }

    def of(self, name: str, layer: int) -> str:
        """Return the name of a layer's input or output in the layer of that number."""
        if name in self.places:
            return self.caches[layer][self.places[name][1]]
        parameter = name.removeprefix(WEIGHT_INPUT_PREFIX)
        return WEIGHT_INPUT_PREFIX + whole_name(parameter, layer)

    def layer(self, name: str) -> int | None:
        """Return the traced layer that an input or output belongs to, if any."""
        if name in self.places:
            return self.places[name][0]
        if name.startswith(WEIGHT_INPUT_PREFIX):
            return layer_number(name.removeprefix(WEIGHT_INPUT_PREFIX))
        return None


class _TracedGraph:
    """The graph of one signature of the reduced decoder, cut into layers."""

    def __init__(self, part: Any, reduction: Reduction, names: _Names) -> None:
        self.part, self.reduction = part, reduction
        self.graph, self.definition = part.subgraphs[0], part.signatureDefs[0]
        self.inputs = {
            int(item.tensorIndex): (item.name.decode(), names.layer(item.name.decode()))
            for item in self.definition.inputs
        }
        self.makers = {
            int(tensor): index
            for index, operator in enumerate(self.graph.operators)
            for tensor in operator.outputs
        }
        self.starts = self._starts()

    def block(self, layer: int) -> list[Any]:
        """Return the operators of a layer; -1 is what comes before all."""
        start = 0 if layer < 0 else self.starts[layer]
        operators: list[Any] = self.graph.operators[start : self.starts[layer + 1]]
        return operators

    def _starts(self) -> list[int]:
        """Return the first operator of each layer, and where the last one's end."""
        taken: dict[int, list[int]] = {}
        for index, operator in enumerate(self.graph.operators):
            for tensor in operator.inputs:
                layer = self.inputs.get(int(tensor), ("", None))[1]
                if layer is not None:
                    taken.setdefault(layer, []).append(index)
        if sorted(taken) != list(range(self.reduction.traced)):
            raise UnlikeLayersError("a layer takes nothing of its own")
        spans = [taken[layer] for layer in sorted(taken)]
        starts = [span[0] for span in spans]
        ends = [*starts[1:], len(self.graph.operators)]
        if any(span[-1] >= end for span, end in zip(spans, ends, strict=True)):
            raise UnlikeLayersError("layers are interleaved")
        return [*starts, len(self.graph.operators)]

    def require_regular(self) -> None:
        """Refuse a template that takes from elsewhere than the layer before it."""
        template, end = self.reduction.template, self.reduction.end
        common = self.starts[template - 1]
        for layer in range(template, self.reduction.traced):
            for operator in self.block(layer):
                made_at = [self.makers.get(int(tensor), 0) for tensor in operator.inputs]
                if any(common <= index < self.starts[layer - 1] for index in made_at):
                    raise UnlikeLayersError("a layer takes from one that is not its neighbour")
        before, last = self.block(template - 1), self.block(end - 1)
        if [_shape(operator) for operator in before] != [_shape(operator) for operator in last]:
            raise UnlikeLayersError("layers of one kind have different operators")


def _shape(operator: Any) -> tuple[int, int]:
    return int(operator.opcodeIndex), len(operator.outputs)


class _Stamping:
    """One run of `stamp`."""

    def __init__(
        self,
        traced: _TracedGraph,
        names: _Names,
        uses: Mapping[int, VectorUse],
        vector: Callable[[str], Values],
    ) -> None:
        self.traced, self.names, self.vector = traced, names, vector
        self.graph, self.definition = traced.graph, traced.definition
        self.reduction = traced.reduction
        self.uses = {
            index: uses[tensor.buffer]
            for index, tensor in enumerate(self.graph.tensors)
            if tensor.buffer in uses
        }
        self.output_names = {
            int(item.tensorIndex): item.name.decode() for item in self.definition.outputs
        }
        self.vectors: dict[tuple[int, str], int] = {}
        self.buffers: dict[tuple[str, bool], int] = {}
        self.added: dict[str, list[tuple[str, int]]] = {_INPUTS: [], _OUTPUTS: []}

    def run(self) -> None:
        reduction, traced = self.reduction, self.traced
        blocks = {layer: traced.block(layer) for layer in range(-1, reduction.traced)}
        replaced = {self.graph.tensors[index].buffer for index in self.uses}
        before, last = blocks[reduction.template - 1], blocks[reduction.end - 1]
        # What the template takes from the layer before it, a copy takes from the one before it.
        again = dict(zip(_outputs(before), _outputs(last), strict=True))
        made: dict[int, int] = {}
        stamped: list[Any] = []
        for layer, like in reduction.stamped():
            taken = made
            if like == reduction.template:
                taken = {old: made.get(new, new) for old, new in again.items()}
            copies, made = self._copy(blocks[like], layer, like, taken)
            stamped += copies
        for layer, block in blocks.items():
            self._give_vectors(block, layer)
        head = [operator for layer in range(-1, reduction.end) for operator in blocks[layer]]
        tail = [o for layer in range(reduction.end, reduction.traced) for o in blocks[layer]]
        for operator in tail:
            operator.inputs = [made.get(int(tensor), int(tensor)) for tensor in operator.inputs]
        self.graph.operators = [*head, *stamped, *tail]
        for index in replaced:
            traced.part.buffers[index].data = None
        self._list(_INPUTS)
        self._list(_OUTPUTS)

    def _copy(
        self, block: Iterable[Any], layer: int, like: int, taken: Mapping[int, int]
    ) -> tuple[list[Any], dict[int, int]]:
        """Copy a block; return its operators, and the tensors they make by those traced."""
        made: dict[int, int] = {}
        own: dict[int, int] = {}

        def stands_for(tensor: int) -> int:
            if self.traced.inputs.get(tensor, ("", None))[1] != like:
                kept = made.get(tensor, taken.get(tensor, tensor))
                return self._with_vector(kept, layer, like)
            if tensor not in own:
                own[tensor] = self._add_input(tensor, layer)
            return own[tensor]

        copies = []
        for operator in block:
            one = copy.copy(operator)
            one.inputs = [stands_for(int(tensor)) for tensor in operator.inputs]
            for tensor in map(int, operator.outputs):
                made[tensor] = self._add_tensor(tensor, str(layer))
                if tensor in self.output_names:
                    name = self.names.of(self.output_names[tensor], layer)
                    self.added[_OUTPUTS].append((name, made[tensor]))
            one.outputs = [made[int(tensor)] for tensor in operator.outputs]
            copies.append(one)
        return copies, made

    def _give_vectors(self, block: Iterable[Any], layer: int) -> None:
        """Give a traced block the vectors of its place in the whole graph."""
        place = self.reduction.place(layer)
        for operator in block:
            operator.inputs = [self._with_vector(int(t), place, layer) for t in operator.inputs]

    def _with_vector(self, tensor: int, layer: int, like: int) -> int:
        """Return what a block takes for a tensor, which may be a vector of its own layer."""
        use = self.uses.get(tensor)
        if use is None:
            return tensor
        number, name = layer_number(use.name), use.name
        if number is not None:
            # Up to the first matrix of the next layer, which its norm comes before.
            if number - like not in (0, 1):
                raise UnlikeLayersError("a layer takes a vector of another")
            name = whole_name(use.name, layer + number - like)
        key = tensor, name
        if key not in self.vectors:
            self.vectors[key] = self._add_tensor(tensor, name)
            self.graph.tensors[self.vectors[key]].buffer = self._buffer(use, name)
        return self.vectors[key]

    def _buffer(self, use: VectorUse, name: str) -> int:
        key = name, use.plus_one
        if key not in self.buffers:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(use.of(self.vector(name)), np.uint8)
            self.buffers[key] = len(self.traced.part.buffers)
            self.traced.part.buffers.append(buffer)
        return self.buffers[key]

    def _add_input(self, tensor: int, layer: int) -> int:
        old = self.traced.inputs[tensor][0]
        name = self.names.of(old, layer)
        index = self._add_tensor(tensor, "")
        added = self.graph.tensors[index]
        added.name = added.name.replace(old.encode(), name.encode())
        self.added[_INPUTS].append((name, index))
        return index

    def _add_tensor(self, like: int, suffix: str) -> int:
        tensor = copy.copy(self.graph.tensors[like])
        if suffix:
            tensor.name = (tensor.name or b"") + f";{suffix}".encode()
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def _list(self, what: str) -> None:
        """List the inputs or outputs of the whole graph, in the order of layers."""
        items = getattr(self.definition, what)
        names = {int(item.tensorIndex): item.name.decode() for item in items}
        whole, listed = dict(names), []
        # Caches and weights stand apart, each in the order of layers.
        waiting: dict[bool, list[tuple[str, int]]] = {False: [], True: []}
        for name, index in self.added[what]:
            waiting[name.startswith(WEIGHT_INPUT_PREFIX)].append((name, index))
            whole[index] = name
        for index in map(int, getattr(self.graph, what)):
            layer = self.names.layer(names[index])
            if layer is not None and layer >= self.reduction.end:
                is_weight = names[index].startswith(WEIGHT_INPUT_PREFIX)
                listed += [added for _, added in waiting[is_weight]]
                waiting[is_weight] = []
                whole[index] = self.names.of(names[index], self.reduction.place(layer))
                if what == _INPUTS:
                    tensor = self.graph.tensors[index]
                    tensor.name = tensor.name.replace(names[index].encode(), whole[index].encode())
            listed.append(index)
        setattr(self.graph, what, listed)
        setattr(self.definition, what, [_item(name, i) for name, i in _by_name(whole)])


def _outputs(block: Iterable[Any]) -> list[int]:
    return [int(tensor) for operator in block for tensor in operator.outputs]


def _by_name(names: Mapping[int, str]) -> list[tuple[str, int]]:
    return sorted((name, index) for index, name in names.items())


def _item(name: str, tensor: int) -> Any:
    item = schema.TensorMapT()
    item.name, item.tensorIndex = name.encode(), tensor
    return item
