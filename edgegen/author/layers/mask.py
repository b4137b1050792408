"""Attention masks, computed in the graph from positions.

A mask is additive: 0 where a cache slot is visible, `MASKED` where it is not. What padding
rows left in later slots is thereby hidden, until real tokens overwrite it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch

# Large enough that exp() of a masked score is zero in float32 and float16, small enough
# that float16 holds it.
MASKED = -1e4


@dataclass(frozen=True)
class CausalMask:
    """Slot `s` is visible from position `p` when `s <= p`, and is near enough.

    Attributes:
        sliding_window: How many positions are visible, the token's own included; `None` for
            all. As HF's `sliding_window_overlay`.
        chunk_size: Positions see only their own chunk of that many; `None` for all.
    """

    sliding_window: int | None = None
    chunk_size: int | None = None

    def __call__(self, input_pos: torch.Tensor, kv_cache_len: int) -> torch.Tensor:
        """Return the mask `[1, 1, T, S]` for positions `[T]`."""
        slots = torch.arange(kv_cache_len, dtype=torch.int32).reshape(1, 1, 1, -1)
        positions = input_pos.reshape(1, 1, -1, 1)
        visible = slots <= positions
        # Where the whole cache lies within the window the second comparison says nothing.
        if self.sliding_window is not None and self.sliding_window < kv_cache_len:
            visible = visible & (slots > positions - self.sliding_window)
        if self.chunk_size is not None and self.chunk_size < kv_cache_len:
            visible = visible & (slots // self.chunk_size == positions // self.chunk_size)
        return torch.where(visible, torch.tensor(0.0), torch.tensor(MASKED))


@dataclass(frozen=True)
class AlibiMask:
    """A causal mask that leans toward near positions (https://arxiv.org/abs/2108.12409).

    Attributes:
        slopes: How much each head's scores fall per position, as HF's `build_alibi_tensor`.
        score_scale: What the slope is multiplied by.
    """

    slopes: tuple[float, ...]
    score_scale: float = 1.0

    def __call__(self, input_pos: torch.Tensor, kv_cache_len: int) -> torch.Tensor:
        """Return the mask `[1, N, T, S]` for positions `[T]`."""
        slots = torch.arange(kv_cache_len, dtype=torch.float32).reshape(1, 1, 1, -1)
        distance = slots - input_pos.float().reshape(1, 1, -1, 1)  # <= 0 where visible
        slopes = torch.tensor(self.slopes).reshape(1, -1, 1, 1) * self.score_scale
        return slopes * distance + CausalMask()(input_pos, kv_cache_len)


def narrowed(given: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
    """Hide of an additive mask `[1, 1, T, S]` what another hides, too.

    Runtimes write their own large number where nothing is visible. What `MASKED` bounds stays
    finite in float16, and a row of padding that sees nothing stays free of NaN.
    """
    return torch.minimum(torch.clamp(given, min=MASKED), own)


def layer_masks(layer_types: Iterable[str], sliding_window: int | None) -> dict[str, CausalMask]:
    """Return the mask of each layer type in use: `full_attention`, `sliding_attention`."""
    windows = {"full_attention": None, "sliding_attention": sliding_window}
    return {name: CausalMask(windows[name]) for name in sorted(set(layer_types))}


def alibi_slopes(num_heads: int) -> tuple[float, ...]:
    """Return the slope of each head, a geometric series; see `AlibiMask`."""
    power = 1 << (num_heads.bit_length() - 1)  # the largest power of two within num_heads
    slopes = [2.0 ** (-8.0 * (i + 1) / power) for i in range(power)]
    slopes += [2.0 ** (-4.0 * (2 * i + 1) / power) for i in range(num_heads - power)]
    return tuple(slopes)
