"""Normalization over the last dimension."""

from __future__ import annotations

import torch
from torch import nn

from edgegen.author.layers.composites import RMS_NORM, bounded


class RMSNorm(nn.Module):
    """Root-mean-square norm (https://arxiv.org/abs/1910.07467), as HF's `LlamaRMSNorm`.

    Args:
        size: Length of the last dimension.
        eps: Added to the mean square.
    """

    def __init__(self, *, size: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.empty(size))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalize `[..., size]`; the shape stays."""
        return bounded(RMS_NORM, {"epsilon": self.eps}, self._normalize, x, self.weight)

    def _normalize(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        mean_square = x.pow(2).mean(-1, keepdim=True)
        return x * torch.rsqrt(mean_square + self.eps) * weight
