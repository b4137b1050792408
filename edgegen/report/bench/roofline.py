"""How far decode is from the limit that memory sets: the bytes each token must read."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from edgegen.device.bench.record import Record


@dataclass(frozen=True)
class Roofline:
    """What one token of decode reads, beside what the device's memory moves.

    A token reads the weights once, and of the KV cache the tokens before it and its own. That is
    the least a graph can read; one that computes over its whole cache reads more.

    Attributes:
        weight_bytes_per_token: Weights that decode reads for each token.
        kv_bytes_per_token: KV cache read for a token at the mean context length; `None` where
            the record does not tell.
        mean_context_tokens: Tokens in the KV cache while decoding, on average.
        bytes_per_token: Both together.
        bytes_per_s: Times the median decode rate.
        memory_bytes_per_s: What copying reached on the device, bytes read plus bytes written, as
            the median of the runs; `None` where it was not measured.
        memory_method: How that was measured.
        share: `bytes_per_s` of `memory_bytes_per_s`.
        limit_tokens_per_s: Decode rate at a share of 1.
    """

    weight_bytes_per_token: int
    kv_bytes_per_token: float | None
    mean_context_tokens: float
    bytes_per_token: float
    bytes_per_s: float
    memory_bytes_per_s: float | None
    memory_method: str | None
    share: float | None
    limit_tokens_per_s: float | None


def roofline_of(kept: Sequence[Record], decode_tokens_per_s: float) -> Roofline | None:
    """Return the roofline of a cell, `None` where it is not known what decode reads.

    Args:
        kept: Rows with a result.
        decode_tokens_per_s: Their median rate.
    """
    example = kept[0]
    weights = example.bundle.weight_bytes_per_decode
    if not weights or weights < 0:
        return None
    # Of n tokens the k-th finds depth + prompt + k - 1 tokens and adds its own.
    context = example.depth + example.prefill_tokens + (example.decode_tokens + 1) / 2
    kv = example.bundle.kv_bytes_per_token
    kv_read = None if kv is None else kv * context
    per_token = weights + (kv_read or 0.0)
    told = [r.memory_bytes_per_s for r in kept if r.memory_bytes_per_s is not None]
    memory = statistics.median(told) if told else None
    rate = per_token * decode_tokens_per_s
    return Roofline(
        weight_bytes_per_token=weights,
        kv_bytes_per_token=kv_read,
        mean_context_tokens=context,
        bytes_per_token=per_token,
        bytes_per_s=rate,
        memory_bytes_per_s=memory,
        memory_method=next((r.memory_method for r in kept if r.memory_method), None),
        share=None if memory is None else rate / memory,
        limit_tokens_per_s=None if memory is None else memory / per_token,
    )
