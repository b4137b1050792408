"""Named boundaries (composites) that a runtime may replace by a kernel of its own.

Which boundaries are drawn is an export option, not a property of the model. None is on by
default: on LiteRT-LM 0.18 plain operations are as fast or faster on the CPU, and the fused
attention is silently wrong with grouped queries on the GPU delegate
(`docs/architecture.md` has the figures).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from typing import Any

import torch

RMS_NORM = "odml.rms_norm"
SDPA = "odml.scaled_dot_product_attention"
COMPOSITES = (RMS_NORM, SDPA)

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


def bounded(
    name: str,
    attributes: dict[str, Any],
    compute: Callable[..., torch.Tensor],
    *inputs: torch.Tensor,
) -> torch.Tensor:
    """Compute `compute(*inputs)`, inside a boundary when `name` is enabled."""
    if not is_enabled(name):
        return compute(*inputs)
    from litert_torch.hlfb import StableHLOCompositeBuilder

    builder = StableHLOCompositeBuilder(name=name, attr=attributes)
    marked = builder.mark_inputs(*inputs)
    marked = marked if isinstance(marked, tuple | list) else (marked,)
    output: torch.Tensor = builder.mark_outputs(compute(*marked))
    return output
