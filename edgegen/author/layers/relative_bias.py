"""Relative position bias: what a score gains by how far apart query and key are."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional


class RelativeBias(nn.Module):
    """A learned value for each head and each bucket of distances, as in HF's `T5Attention`.

    Buckets are small for near positions and grow with the distance; the last one has no end.
    A bucket is thus a range of distances, so its number need not be computed and looked up:
    two comparisons tell whether a distance is in it, and a linear layer makes the bias of that.

    Args:
        num_buckets: How many buckets.
        max_distance: From where on all distances share the last bucket.
        num_attention_heads: N.
        bidirectional: Whether keys after the query have buckets of their own, half of all.
    """

    def __init__(
        self,
        *,
        num_buckets: int,
        max_distance: int,
        num_attention_heads: int,
        bidirectional: bool,
    ) -> None:
        super().__init__()
        # A vector for each head, and no matrix: recipes quantize matrices, and a distant
        # bucket's large value would leave the near ones few steps of a common scale.
        self.heads = nn.ParameterList(torch.empty(num_buckets) for _ in range(num_attention_heads))
        self.ranges = bucket_ranges(num_buckets, max_distance, bidirectional=bidirectional)

    def forward(self, positions: torch.Tensor, slots: int) -> torch.Tensor:
        """Return the bias `[1, N, T, S]` of queries at `positions` (`[T]`) to keys at 0 .. S-1.

        The product is of four dimensions, none of them longer than T or S: the GPU delegates
        take neither five dimensions nor one of T * S.
        """
        keys = torch.arange(slots, dtype=torch.int32).reshape(1, 1, -1, 1)
        distance = keys - positions.reshape(1, -1, 1, 1)  # [1, T, S, 1]
        first = torch.tensor([low for low, _ in self.ranges], dtype=torch.int32)
        last = torch.tensor([high for _, high in self.ranges], dtype=torch.int32)
        inside = (distance >= first) & (distance <= last)  # [1, T, S, buckets]
        weights = torch.where(inside, torch.tensor(1.0), torch.tensor(0.0))
        return functional.linear(weights, torch.stack(list(self.heads))).permute(0, 3, 1, 2)


def bucket_ranges(
    num_buckets: int, max_distance: int, *, bidirectional: bool
) -> list[tuple[int, int]]:
    """Return the first and the last distance, key minus query, of each bucket.

    A bucket that no distance falls into has its last before its first.
    """
    far = 1 << 24  # farther than any context
    one_side = num_buckets // 2 if bidirectional else num_buckets
    starts = _bucket_starts(one_side, max_distance)
    ends = [start - 1 for start in starts[1:]] + [far]
    # A bucket that is skipped starts where the next one does, so that its end is before it.
    before = [(-end, -start) for start, end in zip(starts, ends, strict=True)]
    if not bidirectional:
        # Keys after the query are masked, but HF counts them as at no distance.
        return [(before[0][0], far), *before[1:]]
    after = [(max(start, 1), end) for start, end in zip(starts, ends, strict=True)]
    return before + after


def _bucket_starts(buckets: int, max_distance: int) -> list[int]:
    """Return the least distance of each bucket on one side.

    Half of the buckets hold one distance each, the others grow as the logarithm does. It is
    computed as HF computes it, in float32, where rounding decides at the edges.
    """
    exact = buckets // 2
    distances = torch.arange(exact, max_distance + 1, device="cpu")
    growth = torch.log(distances.float() / exact) / math.log(max_distance / exact)
    numbers = (exact + (growth * (buckets - exact)).long()).clamp(max=buckets - 1)
    starts = list(range(exact))
    for bucket in range(exact, buckets):
        reached = distances[numbers >= bucket]
        starts.append(int(reached[0]))
    return starts
