"""What decode reads for each token, beside what copying memory reached on the device."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from edgegen.device.bench.record import Record

# Words of `edgegen.device.sampling.memory_copy` -> what a reader is told.
_COUNTED = {
    "read + written": "read + written",
    "read only, a lower bound": "read alone; a lower bound",
}


@dataclass(frozen=True)
class Roofline:
    """What one token of decode reads, beside what the copy benchmark moved.

    A token reads the weights once, and of the KV cache the tokens before it and its own. That is
    the least a graph can read; one that computes over its whole cache reads more.

    Attributes:
        weight_bytes_per_token: Weights that decode reads for each token.
        kv_bytes_per_token: KV cache read for a token at the mean context length; `None` where
            the record does not tell.
        mean_context_tokens: Tokens in the KV cache while decoding, on average.
        bytes_per_token: Both together.
        bytes_per_s: Times the median decode rate.
        memory_bytes_per_s: What copying reached on the device, as the median of the runs; `None`
            where it was not measured. `memory_method` tells which bytes it counts.
        memory_method: How that was measured.
        share: `bytes_per_s` of `memory_bytes_per_s`. Above 1 where the copy rate is a lower bound
            that decode passes, or weights came from a cache.
        tokens_per_s_at_copy_rate: Decode rate at a share of 1.
    """

    weight_bytes_per_token: int
    kv_bytes_per_token: float | None
    mean_context_tokens: float
    bytes_per_token: float
    bytes_per_s: float
    memory_bytes_per_s: float | None
    memory_method: str | None
    share: float | None
    tokens_per_s_at_copy_rate: float | None

    @property
    def counted(self) -> str:
        """Which bytes the copy rate counts, by its method's own words; "" if it does not say."""
        method = self.memory_method or ""
        return next((told for words, told in _COUNTED.items() if words in method), "")


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
    methods = [r.memory_method for r in kept if r.memory_bytes_per_s is not None]
    method = methods[0] if methods else None
    # Rates of two methods have no middle.
    told = [
        r.memory_bytes_per_s
        for r in kept
        if r.memory_bytes_per_s is not None and r.memory_method == method
    ]
    memory = statistics.median(told) if told else None
    rate = per_token * decode_tokens_per_s
    return Roofline(
        weight_bytes_per_token=weights,
        kv_bytes_per_token=kv_read,
        mean_context_tokens=context,
        bytes_per_token=per_token,
        bytes_per_s=rate,
        memory_bytes_per_s=memory,
        memory_method=method,
        share=None if memory is None else rate / memory,
        tokens_per_s_at_copy_rate=None if memory is None else memory / per_token,
    )
