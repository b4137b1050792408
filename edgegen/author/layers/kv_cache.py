"""Writing new keys and values into a static KV cache."""

from __future__ import annotations

import torch

from edgegen.author.layers.composites import bounded_all, is_enabled, nothing_of
from edgegen.author.layers.step import Step
from edgegen.contract import CACHE_UPDATE

Cache = tuple[torch.Tensor, ...]
"""What one layer keeps between calls: k `[B, K, S, H]` and v `[B, K, H, S]` for attention.

Float32, or float16 where the signatures have it so; layers compute in float32.
"""


def cast(x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return `x` in another type, and itself where it has that: a cast that changes nothing would
    be an operator all the same, and one that the converter was seen to get wrong (a short
    convolution with padding then said something else).
    """
    return x if x.dtype == dtype else x.to(dtype)


def update_kv(cache: Cache, k: torch.Tensor, v: torch.Tensor, step: Step) -> Cache:
    """Write new keys and values `[B, T, K, H]` where the step starts; return the cache."""
    if is_enabled(CACHE_UPDATE) and step.params is not None:
        return _update_kv_composite(cache, k, v, step.start, step.params)
    return update_k(cache[0], k, step.start), update_v(cache[1], v, step.start)


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


def _update_kv_composite(
    cache: Cache, k: torch.Tensor, v: torch.Tensor, start: torch.Tensor, params: torch.Tensor
) -> Cache:
    """Draw the runtimes' cache write, whose new keys and values are both `[B, K, T, H]`.

    The GPU's kernel keeps the caches in a layout of its own, finds its place in `params` and
    reads no other input after it. What is computed inside the boundary needs just those.
    """
    batch, kv_heads, cache_len, head_dim = cache[0].shape
    zeros = torch.zeros(3, dtype=torch.int32)
    place = start.reshape(1)
    indices_k = torch.cat([zeros[:2], place, zeros[:1]])  # [4], an index for each dimension
    indices_v = torch.cat([zeros, place])

    def write(
        k: torch.Tensor,
        v: torch.Tensor,
        params: torch.Tensor,
        cache_k: torch.Tensor,
        cache_v: torch.Tensor,
        indices_k: torch.Tensor,
        indices_v: torch.Tensor,
    ) -> Cache:
        nothing = nothing_of(params)
        return (
            _write_block(cache_k, k + nothing, list(indices_k)),
            # [B, K, T, H] -> [B, K, H, T]
            _write_block(cache_v, (v + nothing).transpose(2, 3), list(indices_v)),
        )

    attributes = {
        "kv_cache_batch_size": batch * kv_heads,
        "cache_size": cache_len,
        "head_size": head_dim,
        "is_ring_buffer": False,
    }
    new = (k.transpose(1, 2), v.transpose(1, 2))  # [B, T, K, H] -> [B, K, T, H]
    return bounded_all(CACHE_UPDATE, attributes, write, *new, params, *cache, indices_k, indices_v)


def _write_block(
    cache: torch.Tensor, block: torch.Tensor, start: list[torch.Tensor]
) -> torch.Tensor:
    # Imported when run: authoring alone should not pay for the converter's memory.
    from litert_torch.generative.custom_ops.dynamic_update_slice import dynamic_update_slice

    updated: torch.Tensor = dynamic_update_slice(cache, cast(block, cache.dtype), start)
    return updated
