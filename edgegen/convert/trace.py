"""From an authored module to the flatbuffer of one signature."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from edgegen.author import AuthoredModel
from edgegen.author.layers.composites import composites
from edgegen.contract import CACHE_PREFIXES, MASK
from edgegen.convert.layout import graph_shape
from edgegen.convert.spec import ExportSpec
from edgegen.convert.stand_ins import stand_in

WEIGHT_INPUT_PREFIX = "weights_"


def is_streamed(shape: tuple[int, ...]) -> bool:
    """Tell whether a parameter becomes a graph input: a matrix or a convolution's kernel.

    Vectors (norms, biases) stay real constants: with a bias as an input, the converter can
    no longer fuse the addition into the matrix product.
    """
    return len(shape) in (2, 4)


class SignatureModule(nn.Module):
    """One signature as a module: named tensors in, named tensors out."""

    _hidden: tuple[nn.Module]

    def __init__(self, model: AuthoredModel, constants: dict[str, torch.Tensor], name: str) -> None:
        super().__init__()
        # Past `nn.Module.__setattr__`: as a submodule its empty parameters would be exported.
        self.__dict__["_hidden"] = (_Run(model.module, name),)
        self._names = {name: name.replace(".", "__") for name in constants}
        for parameter, value in constants.items():
            self.register_buffer(self._names[parameter], value)

    def forward(
        self, weights: dict[str, torch.Tensor] | None = None, **inputs: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """Run the signature with its parameters taken from `weights` and our own buffers."""
        constants = {name: getattr(self, own) for name, own in self._names.items()}
        given = {name: in_torch_layout(weight) for name, weight in (weights or {}).items()}
        state = {f"model.{name}": tensor for name, tensor in {**given, **constants}.items()}
        outputs: dict[str, torch.Tensor] = torch.func.functional_call(
            self._hidden[0], state, (inputs,)
        )
        return outputs


class _Run(nn.Module):
    """A model's signature in the form whose parameters `functional_call` can swap."""

    def __init__(self, model: Any, name: str) -> None:
        super().__init__()
        self.model = model
        self.name = name

    def forward(self, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return self.model.run(self.name, inputs)  # type: ignore[no-any-return]


def trace_signature(
    model: AuthoredModel,
    spec: ExportSpec,
    name: str,
    tokens: int,
    *,
    with_stand_ins: bool = False,
) -> bytes:
    """Lower one signature to a TFLite flatbuffer with the matrices as inputs.

    With stand-ins the graph has those instead of the model's vectors.

    The steps of `litert_torch.convert` are taken one by one, without its first
    decomposition: the lowering decomposes again, and the result is the same bytes in half
    the time. These are private modules of litert-torch 0.10, hence the exact pin.
    """
    from litert_torch._convert import core, litert_converter, signature

    constants = read_constants(model, with_stand_ins=with_stand_ins)
    weights = {
        parameter: _stand_in(graph_shape(entry.shape))
        for parameter, entry in model.sources.items()
        if is_streamed(entry.shape)
    }
    module = SignatureModule(model, constants, name).eval()
    with composites(spec.composites), torch.no_grad():  # some need an input of their own
        inputs: dict[str, Any] = {
            **model.module.sample_inputs(name, tokens, spec.kv_cache_len),
            "weights": weights,
        }
        if spec.kv_cache_dtype != "float32":
            dtype = getattr(torch, spec.kv_cache_dtype)
            caches = {n: x for n, x in inputs.items() if n.startswith(CACHE_PREFIXES)}
            inputs |= {n: torch.zeros((), dtype=dtype).expand(x.shape) for n, x in caches.items()}
        if spec.mask_input:
            inputs[MASK] = torch.zeros((1, 1, tokens, spec.kv_cache_len))
        traced = signature.Signature(name, module, (), inputs)
        program = core.export_torch_signature(traced, run_decompositions=False)
    program = core._run_convert_passes(program)
    exporter = litert_converter.exported_programs_to_flatbuffer([program], [traced])
    return bytes(exporter.to_bytes())


def read_constants(
    model: AuthoredModel, *, with_stand_ins: bool = False
) -> dict[str, torch.Tensor]:
    """Return what the graph holds itself: vectors, for a decoder a few kilobytes a layer.

    In one piece each. Of others litert-torch 0.10 makes a copy, remembers it by its address, and
    takes a later copy at the same address for the same constant.
    """
    return {
        parameter: torch.from_numpy(
            np.ascontiguousarray(
                stand_in(parameter, entry.shape) if with_stand_ins else entry.read()
            )
        )
        for parameter, entry in model.sources.items()
        if not is_streamed(entry.shape)
    }


def in_torch_layout(weight: torch.Tensor) -> torch.Tensor:
    """Undo `graph_shape`, in the graph: the converter sees that nothing is left to do."""
    return weight.permute(0, 3, 1, 2) if weight.dim() == 4 else weight


def _stand_in(shape: tuple[int, ...]) -> torch.Tensor:
    """Zeros of stride 0: a tensor of any size in four bytes."""
    return torch.zeros(()).expand(shape)
