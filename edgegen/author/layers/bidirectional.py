"""Attention in which tokens also see those after them."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from edgegen.author.layers.attention import Attention
from edgegen.author.layers.kv_cache import Cache
from edgegen.author.layers.mask import MASKED
from edgegen.author.layers.sdpa import sdpa
from edgegen.author.layers.step import Step


class BidirectionalAttention(Attention):
    """`Attention` among the tokens of one call, without a cache."""

    def cache_shapes(self, kv_cache_len: int) -> dict[str, tuple[int, ...]]:
        """Return nothing: all tokens come in one call."""
        del kv_cache_len
        return {}

    def forward(self, x: torch.Tensor, step: Step, cache: Cache) -> tuple[torch.Tensor, Cache]:
        """Attend from the tokens `[B, T, D]` to one another; return that and the empty cache."""
        batch, tokens, _ = x.shape
        k = self.k_proj(x).reshape(batch, tokens, self.num_key_value_heads, self.head_dim)
        v = k
        if self.v_proj is not None:
            v = self.v_proj(x).reshape(batch, tokens, self.num_key_value_heads, self.head_dim)
        if self.v_norm is not None:
            v = self.v_norm(v)
        k = self._place(k, self.k_norm, step)
        attended = sdpa(
            self.queries(x, step),
            k.transpose(1, 2),  # [B, T, K, H] -> [B, K, T, H]
            v.permute(0, 2, 3, 1),  # [B, T, K, H] -> [B, K, H, T]
            step.masks[self.mask],
            self.scale,
            logit_softcapping=self.logit_softcapping,
            sinks=self.sinks,
        )
        return self.o_proj(attended.reshape(batch, tokens, -1)), cache


@dataclass(frozen=True)
class BidirectionalMask:
    """A token sees all real tokens that are near enough, before and after it.

    Attributes:
        sliding_window: Distances below it are near enough, on either side; `None` for all.
            As HF's `_bidirectional_window_overlay`.
    """

    sliding_window: int | None = None

    def __call__(self, length: torch.Tensor, tokens: int) -> torch.Tensor:
        """Return the mask `[1, 1, T or 1, T]` for `length` (`[1]`) real tokens of `tokens`."""
        places = torch.arange(tokens, dtype=torch.int32)
        columns, rows = places.reshape(1, 1, 1, -1), places.reshape(1, 1, -1, 1)
        visible = columns < length.reshape(1, 1, 1, 1)
        if self.sliding_window is not None and self.sliding_window < tokens:
            # Two comparisons and no distance: of constants the GPU delegate takes no ABS.
            window = self.sliding_window
            visible = visible & (rows - columns < window) & (columns - rows < window)
        return torch.where(visible, torch.tensor(0.0), torch.tensor(MASKED))
