"""Named boundaries (composites) that a runtime may replace by a kernel of its own.

Which boundaries are drawn is an export option, not a property of the model. None is on by
default: `docs/architecture.md` has what they cost and where they are right. A runtime without a
kernel computes what stands inside the boundary, so that must be right by itself.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from typing import Any

import torch

from edgegen.contract import CACHE_UPDATE, RUNTIME_BMM

_enabled: ContextVar[frozenset[str]] = ContextVar("edgegen_composites", default=frozenset())


@contextlib.contextmanager
def composites(names: Iterable[str]) -> Iterator[None]:
    """Draw the boundaries in `names` around the layers traced inside the block."""
    token = _enabled.set(frozenset(names))
    try:
        yield
    finally:
        _enabled.reset(token)


def is_enabled(name: str) -> bool:
    """Tell whether the boundary is drawn in this trace."""
    return name in _enabled.get()


def param_tensor_is_read() -> bool:
    """Tell whether a boundary is drawn whose kernel reads the input `param_tensor`."""
    return is_enabled(CACHE_UPDATE) or is_enabled(RUNTIME_BMM)


def bounded(
    name: str,
    attributes: dict[str, Any],
    compute: Callable[..., torch.Tensor],
    *inputs: torch.Tensor,
) -> torch.Tensor:
    """Compute `compute(*inputs)`, inside a boundary when `name` is enabled."""
    if not is_enabled(name):
        return compute(*inputs)
    (output,) = bounded_all(name, attributes, lambda *marked: (compute(*marked),), *inputs)
    return output


def bounded_all(
    name: str,
    attributes: dict[str, Any],
    compute: Callable[..., tuple[torch.Tensor, ...]],
    *inputs: torch.Tensor,
) -> tuple[torch.Tensor, ...]:
    """Compute several outputs inside a boundary, enabled or not."""
    from litert_torch.hlfb import StableHLOCompositeBuilder

    builder = StableHLOCompositeBuilder(name=name, attr=attributes)
    outputs = compute(*_as_tuple(builder.mark_inputs(*inputs)))
    return _as_tuple(builder.mark_outputs(*outputs))


def nothing_of(*inputs: torch.Tensor) -> torch.Tensor:
    """Return a zero that depends on integer `inputs`, float32 without dimensions.

    A kernel may need inputs that the computation inside its boundary has no use for. An input
    that is not used at all would not be part of the boundary.
    """
    total = torch.zeros((), dtype=torch.int32)
    for tensor in inputs:
        total = total + tensor.sum(dtype=torch.int32)
    return (total * 0).float()


def _as_tuple(tensors: Any) -> tuple[torch.Tensor, ...]:
    """Undo the builder's habit of handing back a single tensor bare."""
    return tensors if isinstance(tensors, tuple) else (tensors,)
