"""Making an image half as large, or twice."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


class Downsample2D(nn.Module):
    """A convolution of stride 2, as diffusers' `Downsample2D(use_conv=True, padding=1)`.

    Args:
        channels: C, before and after.
    """

    def __init__(self, *, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, kernel_size=3, stride=2, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `[B, C, H, W]` to `[B, C, H/2, W/2]`, an odd side rounded up."""
        output: torch.Tensor = self.conv(x)
        return output


class Upsample2D(nn.Module):
    """Every pixel four times, then a convolution, as diffusers' `Upsample2D(use_conv=True)`.

    Args:
        channels: C, before and after.
    """

    def __init__(self, *, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, kernel_size=3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `[B, C, H, W]` to `[B, C, 2H, 2W]`."""
        output: torch.Tensor = self.conv(functional.interpolate(x, scale_factor=2.0))
        return output
