"""From an authored module to the flatbuffer of one signature."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from edgegen.author import AuthoredModel
from edgegen.author.layers.composites import composites
from edgegen.contract import (
    DECODE,
    INPUT_POS,
    LOGITS,
    TOKENS,
    kv_cache_k,
    kv_cache_v,
)
from edgegen.convert.spec import ExportSpec


def is_matrix(shape: tuple[int, ...]) -> bool:
    """Tell whether a parameter becomes a graph input.

    Vectors (norms, biases) stay real constants: with a bias as an input, the converter can
    no longer fuse the addition into the matrix product.
    """
    return len(shape) >= 2


class SignatureModule(nn.Module):
    """One signature as a module: named tensors in, named tensors out."""

    _hidden: tuple[nn.Module]

    def __init__(self, model: AuthoredModel, vectors: dict[str, torch.Tensor], logits: str) -> None:
        super().__init__()
        # Past `nn.Module.__setattr__`: as a submodule its empty parameters would be exported.
        self.__dict__["_hidden"] = (model.decoder,)
        self._names = {name: name.replace(".", "__") for name in vectors}
        for name, value in vectors.items():
            self.register_buffer(self._names[name], value)
        self._num_layers = model.config.num_hidden_layers
        self._logits = logits

    def forward(
        self,
        tokens: torch.Tensor,
        input_pos: torch.Tensor,
        weights: dict[str, torch.Tensor] | None = None,
        **kv_caches: torch.Tensor,
    ) -> dict[str, torch.Tensor]:
        """Run the decoder with its parameters taken from `weights` and our own buffers."""
        vectors = {name: getattr(self, own) for name, own in self._names.items()}
        caches = [
            (kv_caches[kv_cache_k(i)], kv_caches[kv_cache_v(i)]) for i in range(self._num_layers)
        ]
        logits, updated = torch.func.functional_call(
            self._hidden[0],
            {**(weights or {}), **vectors},
            (tokens, input_pos, caches),
            {"logits": self._logits},
        )
        outputs = {}
        for i, (k, v) in enumerate(updated):
            outputs[kv_cache_k(i)], outputs[kv_cache_v(i)] = k, v
        if logits is not None:
            outputs[LOGITS] = logits
        return outputs


def sample_inputs(model: AuthoredModel, spec: ExportSpec, tokens: int) -> dict[str, Any]:
    """Make the inputs to trace with; caches `[1, K, S, H]` and `[1, K, H, S]`."""
    config, cache = model.config, spec.kv_cache_len
    heads, head_dim = config.num_key_value_heads, config.head_dim
    inputs: dict[str, Any] = {
        TOKENS: torch.zeros((1, tokens), dtype=torch.int32),
        INPUT_POS: torch.arange(tokens, dtype=torch.int32),
    }
    for i in range(config.num_hidden_layers):
        inputs[kv_cache_k(i)] = _stand_in((1, heads, cache, head_dim))
        inputs[kv_cache_v(i)] = _stand_in((1, heads, head_dim, cache))
    return inputs


def trace_signature(model: AuthoredModel, spec: ExportSpec, name: str, tokens: int) -> bytes:
    """Lower one signature to a TFLite flatbuffer with the matrices as inputs.

    The steps of `litert_torch.convert` are taken one by one, without its first
    decomposition: the lowering decomposes again, and the result is the same bytes in half
    the time. These are private modules of litert-torch 0.10, hence the exact pin.
    """
    from litert_torch._convert import core, litert_converter, signature

    # Only vectors hold values; a few kilobytes for each layer.
    vectors = {
        parameter: torch.from_numpy(entry.read())
        for parameter, entry in model.sources.items()
        if not is_matrix(entry.shape)
    }
    weights = {
        parameter: _stand_in(entry.shape)
        for parameter, entry in model.sources.items()
        if is_matrix(entry.shape)
    }
    module = SignatureModule(model, vectors, "last" if name == DECODE else "none").eval()
    inputs = {**sample_inputs(model, spec, tokens), "weights": weights}
    traced = signature.Signature(name, module, (), inputs)
    with composites(spec.composites), torch.no_grad():
        program = core.export_torch_signature(traced, run_decompositions=False)
    program = core._run_convert_passes(program)
    exporter = litert_converter.exported_programs_to_flatbuffer([program], [traced])
    return bytes(exporter.to_bytes())


def _stand_in(shape: tuple[int, ...]) -> torch.Tensor:
    """Zeros of stride 0: a tensor of any size in four bytes."""
    return torch.zeros(()).expand(shape)
