"""One module through the converter and the interpreter, with its weights inside."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import litert_torch
import numpy as np
import numpy.typing as npt
import torch
from ai_edge_litert.interpreter import Interpreter
from ai_edge_litert.tools import flatbuffer_utils
from torch import nn


@dataclass(frozen=True)
class Converted:
    """A flatbuffer and what is in it."""

    content: bytes
    model: Any

    @property
    def ranks(self) -> set[int]:
        """The numbers of dimensions of all tensors."""
        graphs = self.model.subgraphs
        return {len(t.shape) for graph in graphs for t in graph.tensors if t.shape is not None}

    @property
    def operators(self) -> Counter[str]:
        """How often each operator stands in the graph."""
        return Counter(
            flatbuffer_utils.opcode_to_name(self.model, operator.opcodeIndex)
            for graph in self.model.subgraphs
            for operator in graph.operators
        )

    def run(self, inputs: tuple[torch.Tensor, ...]) -> npt.NDArray[np.float32]:
        """Return the one output of the one signature."""
        interpreter = Interpreter(model_content=self.content, num_threads=1)
        runner = interpreter.get_signature_runner()
        # The converter names positional inputs args_0, args_1 and so on.
        named = {f"args_{i}": value.numpy() for i, value in enumerate(inputs)}
        (output,) = runner(**named).values()
        return output


def convert(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> Converted:
    with torch.no_grad():
        content = litert_torch.convert(module.eval(), inputs).model_content()
    return Converted(content, flatbuffer_utils.convert_bytearray_to_object(bytearray(content)))
