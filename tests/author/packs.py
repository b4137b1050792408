"""Many small modules in one conversion, which takes seconds however little it converts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from ai_edge_litert.interpreter import Interpreter
from ai_edge_litert.tools import flatbuffer_utils
from torch import nn

from edgegen.convert.layout import graph_shape
from edgegen.convert.trace import in_torch_layout, is_streamed

Tensors = tuple[torch.Tensor, ...]


def as_tuple(outputs: torch.Tensor | Sequence[torch.Tensor]) -> Tensors:
    return (outputs,) if isinstance(outputs, torch.Tensor) else tuple(outputs)


class _SideBySide(nn.Module):
    """Modules that have nothing in common but the graph they end up in."""

    def __init__(self, modules: Sequence[nn.Module], counts: Sequence[int]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(modules)
        self.counts = tuple(counts)

    def forward(self, inputs: Sequence[torch.Tensor]) -> Tensors:
        outputs: list[torch.Tensor] = []
        for module, count in zip(self.parts, self.counts, strict=True):
            outputs += as_tuple(module(*inputs[:count]))
            inputs = inputs[count:]
        return tuple(outputs)


class _Streamed(nn.Module):
    """A module whose matrices are inputs, after its own ones, as when edgegen converts."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        matrices = {name: p for name, p in module.named_parameters() if is_streamed(p.shape)}
        self.names = tuple(matrices)
        self.weights = tuple(
            matrix.detach().permute(0, 2, 3, 1) if matrix.dim() == 4 else matrix.detach()
            for matrix in matrices.values()
        )
        assert [tuple(weight.shape) for weight in self.weights] == [
            graph_shape(tuple(matrix.shape)) for matrix in matrices.values()
        ]

    def forward(self, *inputs: torch.Tensor) -> Tensors:
        own = len(inputs) - len(self.names)
        given = zip(self.names, map(in_torch_layout, inputs[own:]), strict=True)
        outputs: Tensors = torch.func.functional_call(
            self.module, dict(given), (inputs[:own],), tie_weights=True
        )
        return outputs


@dataclass(frozen=True)
class Inside:
    """What one module became.

    Attributes:
        operators: How often each operator stands in its part of the graph.
        composites: How often each boundary is drawn around a part of it.
        ranks: The numbers of dimensions of its tensors.
    """

    operators: Counter[str]
    composites: Counter[str]
    ranks: set[int]

    def complaints(self) -> list[str]:
        """Return why some runtime would refuse it."""
        found = [f"{rank} dimensions" for rank in self.ranks if rank > 4]
        # Flex operators are custom ones by another name.
        refused = [name for name in self.operators if name == "CUSTOM" or name.startswith("Flex")]
        return found + [f"{name} operator" for name in refused]


class Pack:
    """A flatbuffer of several modules, each of which can be run and looked into by itself."""

    def __init__(self, modules: Sequence[nn.Module], inputs: Sequence[Tensors]) -> None:
        # As `edgegen.convert.trace` does: half the time of `litert_torch.convert`.
        from litert_torch._convert import core, litert_converter, signature

        for module in modules:
            for parameter in module.parameters():
                # As edgegen hands them over: see `edgegen.convert.trace.read_constants`.
                parameter.data = parameter.data.contiguous()
        with torch.no_grad():
            outputs = [
                as_tuple(module(*values)) for module, values in zip(modules, inputs, strict=True)
            ]
            together = _SideBySide(modules, [len(values) for values in inputs])
            streamed = _Streamed(together).eval()
            self._weights = streamed.weights
            # Copies, because the export takes one tensor given twice for one input.
            flat = tuple(value.clone() for values in (*inputs, self._weights) for value in values)
            traced = signature.Signature("serving_default", streamed, flat, {})
            program = core.export_torch_signature(traced, run_decompositions=False)
            program = core._run_convert_passes(program)
            exporter = litert_converter.exported_programs_to_flatbuffer([program], [traced])
        self.content = bytes(exporter.to_bytes())
        self._outputs = [len(values) for values in outputs]
        self._runner: Any = None
        self._model: Any = None

    def run(self, inputs: Sequence[Tensors]) -> list[Tensors]:
        """Return the outputs of each module."""
        if self._runner is None:
            self._interpreter = Interpreter(model_content=self.content, num_threads=1)
            self._runner = self._interpreter.get_signature_runner()
        flat = [value for values in (*inputs, self._weights) for value in values]
        # The converter names them args_0 and output_0, args_1 and so on, and drops unused ones.
        taken = set(self._runner.get_input_details())
        named = {f"args_{i}": value.numpy() for i, value in enumerate(flat)}
        made = self._runner(**{name: value for name, value in named.items() if name in taken})
        numbers = iter(range(len(made)))
        return [
            tuple(torch.from_numpy(made[f"output_{next(numbers)}"]) for _ in range(count))
            for count in self._outputs
        ]

    def inside(self, index: int) -> Inside:
        """Walk from the outputs of a module back to its inputs, and tell what was met."""
        if self._model is None:
            self._model = flatbuffer_utils.convert_bytearray_to_object(bytearray(self.content))
        model = self._model
        graph = model.subgraphs[0]
        makers = {t: operator for operator in graph.operators for t in operator.outputs}
        ends = {o.name.decode(): o.tensorIndex for o in model.signatureDefs[0].outputs}
        first = sum(self._outputs[:index])
        waiting = [ends[f"output_{i}"] for i in range(first, first + self._outputs[index])]
        found = Inside(Counter(), Counter(), set())
        seen, counted = set(), set()
        while waiting:
            tensor = waiting.pop()
            if tensor in seen or tensor < 0:
                continue
            seen.add(tensor)
            self._count_rank(found, graph.tensors[tensor])
            operator = makers.get(tensor)
            if operator is None or id(operator) in counted:
                continue
            counted.add(id(operator))
            self._count_operator(found, operator)
            waiting += [*operator.inputs, *operator.outputs]
        return found

    def _count_rank(self, found: Inside, tensor: Any) -> None:
        if tensor.shape is not None:
            found.ranks.add(len(tensor.shape))

    def _count_operator(self, found: Inside, operator: Any) -> None:
        name = flatbuffer_utils.opcode_to_name(self._model, operator.opcodeIndex)
        found.operators[name] += 1
        if name != "STABLEHLO_COMPOSITE":
            return
        options = operator.builtinOptions2
        found.composites[options.name.decode()] += 1
        graph = self._model.subgraphs[options.decompositionSubgraphIndex]
        for tensor in graph.tensors:
            self._count_rank(found, tensor)
        for inner in graph.operators:
            self._count_operator(found, inner)
