"""Normalization of an image over groups of channels."""

from __future__ import annotations

import torch
from torch import nn

from edgegen.author.layers.composites import bounded, is_enabled
from edgegen.contract import GROUP_NORM


class GroupNorm(nn.Module):
    """Group norm (https://arxiv.org/abs/1803.08494), as `torch.nn.GroupNorm` with its affine.

    Args:
        num_groups: Groups of channels with a mean and a variance of their own; divides
            `num_channels`.
        num_channels: C.
        eps: Added to the variance.
    """

    def __init__(self, *, num_groups: int, num_channels: int, eps: float) -> None:
        super().__init__()
        self.num_groups = num_groups
        self.eps = eps
        self.weight = nn.Parameter(torch.empty(num_channels))
        self.bias = nn.Parameter(torch.empty(num_channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalize `[B, C, H, W]`; the shape stays."""
        if is_enabled(GROUP_NORM):
            return self._composite(x)
        return self._normalize(x, self.weight, self.bias)

    def _composite(self, x: torch.Tensor) -> torch.Tensor:
        """Draw the runtimes' group norm, which has the channels last: `[B, H, W, C]`."""

        def normalize(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
            return self._normalize(x.permute(0, 3, 1, 2), weight, bias).permute(0, 2, 3, 1)

        # The axes say channels alone, as litert-torch writes them for its own group norms; the
        # kernel goes by the groups.
        attributes = {
            "num_groups": self.num_groups,
            "epsilon": self.eps,
            "reduction_axes": [3],
            "channel_axis": 3,
        }
        last = x.permute(0, 2, 3, 1)  # [B, C, H, W] -> [B, H, W, C]
        normalized = bounded(GROUP_NORM, attributes, normalize, last, self.weight, self.bias)
        return normalized.permute(0, 3, 1, 2)

    def _normalize(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        """Normalize `[B, C, H, W]` in plain operations.

        Each channel is centred by itself, and the groups meet in tensors of one value per
        channel. torch's own form regroups the whole image, which costs a copy in another layout
        on either side (TFLite keeps channels last), and spreads the statistics with
        BROADCAST_TO, which the GPU delegate refuses.
        """
        batch, channels, _, _ = x.shape
        grouped = (batch, self.num_groups, channels // self.num_groups, 1)
        mean = x.mean((2, 3), keepdim=True)  # [B, C, 1, 1]
        centred = x - mean
        variance = (centred * centred).mean((2, 3), keepdim=True)  # [B, C, 1, 1]
        # [B, C, 1, 1] -> [B, groups, C/groups, 1], and back below
        group_mean = mean.reshape(grouped)
        offset = group_mean - group_mean.mean(2, keepdim=True)
        # The variance of a group is the mean of its channels' variances and the variance of
        # their means. Nothing cancels, so float16 bears it, too.
        group_variance = (variance.reshape(grouped) + offset * offset).mean(2, keepdim=True)
        scale = weight.reshape(1, *grouped[1:]) * torch.rsqrt(group_variance + self.eps)
        shift = offset * scale + bias.reshape(1, *grouped[1:])
        per_channel = (batch, channels, 1, 1)
        return centred * scale.reshape(per_channel) + shift.reshape(per_channel)
