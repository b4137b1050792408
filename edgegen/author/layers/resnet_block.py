"""The residual block of diffusion models."""

from __future__ import annotations

import torch
from torch import nn

from edgegen.author.layers.activations import ACTIVATIONS
from edgegen.author.layers.group_norm import GroupNorm


class ResnetBlock2D(nn.Module):
    """Two convolutions with the timestep added between, as diffusers' `ResnetBlock2D`.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output; where they differ, a 1x1 convolution carries the
            input past the block.
        temb_channels: E, the size of the timestep's embedding.
        groups: Groups of both norms; divides both numbers of channels.
        eps: Of both norms.
        act_fn: A key of `ACTIVATIONS`.
        output_scale_factor: Divides the sum of input and block.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        temb_channels: int,
        groups: int,
        eps: float,
        act_fn: str,
        output_scale_factor: float = 1.0,
    ) -> None:
        super().__init__()
        self.norm1 = GroupNorm(num_groups=groups, num_channels=in_channels, eps=eps)
        self.conv1 = nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1)
        self.time_emb_proj = nn.Linear(temb_channels, out_channels)
        self.norm2 = GroupNorm(num_groups=groups, num_channels=out_channels, eps=eps)
        self.conv2 = nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1)
        self.conv_shortcut = (
            None if in_channels == out_channels else nn.Conv2d(in_channels, out_channels, 1)
        )
        self.activation = ACTIVATIONS[act_fn]
        self.output_scale_factor = output_scale_factor

    def forward(self, x: torch.Tensor, temb: torch.Tensor) -> torch.Tensor:
        """Map `[B, in_channels, H, W]` and the timestep `[B, E]` to `[B, out_channels, H, W]`."""
        hidden = self.conv1(self.activation(self.norm1(x)))
        step = self.time_emb_proj(self.activation(temb))
        # [B, out_channels] -> [B, out_channels, 1, 1]: one value for all pixels of a channel
        hidden = hidden + step.reshape(*step.shape, 1, 1)
        hidden = self.conv2(self.activation(self.norm2(hidden)))
        shortcut = x if self.conv_shortcut is None else self.conv_shortcut(x)
        output: torch.Tensor = (shortcut + hidden) / self.output_scale_factor
        return output
