"""Writing new keys and values into a static KV cache."""

from __future__ import annotations

import torch

Cache = tuple[torch.Tensor, ...]
"""What one layer keeps between calls: k `[B, K, S, H]` and v `[B, K, H, S]` for attention."""


def update_k(cache: torch.Tensor, new: torch.Tensor, start: torch.Tensor) -> torch.Tensor:
    """Write `new [B, T, K, H]` into `cache [B, K, S, H]` at slots `start ..`; return the cache.

    One contiguous block is written from `input_pos[0]`. A scatter over all of `input_pos`
    would send the rows of a padded chunk, whose positions are 0, over the first token.
    """
    zero = torch.zeros((), dtype=torch.int32)
    return _write_block(cache, new.transpose(1, 2), [zero, zero, start, zero])


def update_v(cache: torch.Tensor, new: torch.Tensor, start: torch.Tensor) -> torch.Tensor:
    """Write `new [B, T, K, H]` into `cache [B, K, H, S]` at slots `start ..`; return the cache."""
    zero = torch.zeros((), dtype=torch.int32)
    return _write_block(cache, new.permute(0, 2, 3, 1), [zero, zero, zero, start])


def _write_block(
    cache: torch.Tensor, block: torch.Tensor, start: list[torch.Tensor]
) -> torch.Tensor:
    # Imported when run: authoring alone should not pay for the converter's memory.
    from litert_torch.generative.custom_ops.dynamic_update_slice import dynamic_update_slice

    updated: torch.Tensor = dynamic_update_slice(cache, block, start)
    return updated
