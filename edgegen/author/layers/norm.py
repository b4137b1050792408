"""Normalization over the last dimension."""

from __future__ import annotations

import torch
from torch import nn

from edgegen.author.layers.composites import bounded
from edgegen.contract import GROUP_NORM, RMS_NORM


class RMSNorm(nn.Module):
    """Root-mean-square norm (https://arxiv.org/abs/1910.07467), as HF's `LlamaRMSNorm`.

    Args:
        size: Length of the last dimension.
        eps: Added to the mean square.
        unit_offset: Whether the stored weight is the distance from 1, as in HF's
            `GemmaRMSNorm`.
        scale: Whether there is a weight at all.
    """

    def __init__(
        self, *, size: int, eps: float, unit_offset: bool = False, scale: bool = True
    ) -> None:
        super().__init__()
        self.eps = eps
        self.unit_offset = unit_offset
        self.weight = nn.Parameter(torch.empty(size)) if scale else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalize `[..., size]`; the shape stays."""
        if self.weight is None:
            return self._normalize(x)
        weight = 1.0 + self.weight if self.unit_offset else self.weight
        return bounded(RMS_NORM, {"epsilon": self.eps}, self._scaled, x, weight)

    def _normalize(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps)

    def _scaled(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return self._normalize(x) * weight


class LayerNorm(nn.Module):
    """Layer norm (https://arxiv.org/abs/1607.06450), as `torch.nn.LayerNorm`.

    Args:
        size: Length of the last dimension.
        eps: Added to the variance.
        bias: Whether there is a bias.
        scale: Whether there is a weight.
    """

    def __init__(self, *, size: int, eps: float, bias: bool = True, scale: bool = True) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.empty(size)) if scale else None
        self.bias = nn.Parameter(torch.empty(size)) if bias else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalize `[..., size]`; the shape stays."""
        if self.weight is None or self.bias is None:
            x = self._normalize(x)
            x = x if self.weight is None else x * self.weight
            return x if self.bias is None else x + self.bias
        # Subtype 1 is what the runtimes' group norm calls a layer norm.
        attributes = {"sub_type": 1, "epsilon": self.eps}
        return bounded(GROUP_NORM, attributes, self._scaled, x, self.weight, self.bias)

    def _normalize(self, x: torch.Tensor) -> torch.Tensor:
        centred = x - x.mean(-1, keepdim=True)
        return centred * torch.rsqrt(centred.pow(2).mean(-1, keepdim=True) + self.eps)

    def _scaled(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        return self._normalize(x) * weight + bias


class PerHeadNorm(nn.Module):
    """A norm of its own for each head of `[B, T, heads, H]`, as HF's `StableLmLayerNormPerHead`.

    Args:
        heads: Number of heads.
        size: H.
        eps: Added to the variance.
    """

    def __init__(self, *, heads: int, size: int, eps: float) -> None:
        super().__init__()
        self.norm = LayerNorm(size=size, eps=eps, bias=False, scale=False)
        self.weight = nn.Parameter(torch.empty(heads * size))
        self._shape = (heads, size)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalize each head over H; the shape stays."""
        output: torch.Tensor = self.norm(x) * self.weight.reshape(self._shape)
        return output


class AcrossHeads(nn.Module):
    """A norm over all heads of `[B, T, heads, H]` together, as the q and k norms of OLMo 2.

    Args:
        norm: A norm of size heads * H.
    """

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalize over heads and H; the shape stays."""
        output: torch.Tensor = self.norm(x.flatten(2)).reshape(x.shape)
        return output
