"""What a decoder's signatures use, found by running them with tensors that hold no values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from edgegen.author.decoder import Decoder
from edgegen.author.reference import in_method

_COPIES_NOTHING = ("view", "_unsafe_view", "t", "transpose", "permute", "expand", "slice", "detach")


@dataclass(frozen=True)
class SignatureFootprint:
    """What one signature uses.

    Attributes:
        operators: Operations that its outputs depend on, of those that work on activations.
        parameters: The parameters that its outputs depend on.
        activation_bytes: The most that one operation reads and writes at once, without weights
            and caches.
    """

    operators: int
    parameters: frozenset[str]
    activation_bytes: int


def signature_footprints(
    decoder: Decoder, prefill_lens: Sequence[int], kv_cache_len: int
) -> dict[str, SignatureFootprint]:
    """Run each signature without values, and look at what its outputs depend on.

    Prefill has no use for what comes after the last layer's cache, so nor has the graph.
    """
    from torch._subclasses.fake_tensor import FakeTensorMode

    made = {}
    for name, tokens in decoder.signatures(prefill_lens).items():
        with FakeTensorMode(allow_non_fake_inputs=True), _Operations() as operations:
            inputs = {
                key: torch.empty(tensor.shape, dtype=tensor.dtype)
                for key, tensor in decoder.sample_inputs(name, tokens, kv_cache_len).items()
            }
            state = {
                key: torch.empty(parameter.shape, requires_grad=True)
                for key, parameter in decoder.named_parameters()
            }
            kept = {tuple(t.shape) for t in (*inputs.values(), *state.values()) if t.dim() > 1}
            operations.ignored = kept | {shape[::-1] for shape in kept}
            outputs = in_method(decoder, "run", state, name, inputs)
        nodes = _reached([output.grad_fn for output in outputs.values()])
        used = {id(node.variable) for node in nodes if hasattr(node, "variable")}
        made[name] = SignatureFootprint(
            operators=sum(not hasattr(node, "variable") for node in nodes),
            parameters=frozenset(key for key, tensor in state.items() if id(tensor) in used),
            activation_bytes=operations.largest,
        )
    return made


def _reached(start: Sequence[Any]) -> set[Any]:
    seen: set[Any] = set()
    waiting = [node for node in start if node is not None]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            waiting += [before for before, _ in node.next_functions]
    return seen


class _Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Watches how much each operation reads and writes."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.largest = 0
        self.ignored: set[tuple[int, ...]] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if self.ignored and func.overloadpacket.__name__ not in _COPIES_NOTHING:
            tensors = [*args, *(result if isinstance(result, tuple | list) else (result,))]
            self.largest = max(self.largest, sum(map(self._nbytes, tensors)))
        return result

    def _nbytes(self, value: Any) -> int:
        if not isinstance(value, torch.Tensor) or tuple(value.shape) in self.ignored:
            return 0
        return math.prod(value.shape) * value.element_size()
