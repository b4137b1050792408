"""What a diffusion model knows about the step it is in."""

from __future__ import annotations

import math

import torch
from torch import nn

from edgegen.author.layers.activations import ACTIVATIONS

_LONGEST_PERIOD = 10000.0


class Timesteps(nn.Module):
    """Sinusoidal embedding of a timestep, as diffusers' `Timesteps`; it has no parameters.

    Args:
        num_channels: C, the sines and cosines together; an odd one ends in a zero.
        flip_sin_to_cos: Whether the cosines come first.
        downscale_freq_shift: Taken off the number of frequencies: 0 leaves the longest period
            just out of reach, 1 reaches it.
    """

    def __init__(
        self, *, num_channels: int, flip_sin_to_cos: bool, downscale_freq_shift: float
    ) -> None:
        super().__init__()
        half = num_channels // 2
        # On the CPU even while the parameters are built on the meta device, and no buffer: it
        # is computed, not loaded.
        steps = torch.arange(half, dtype=torch.float32, device="cpu")
        exponents = steps * -math.log(_LONGEST_PERIOD) / (half - downscale_freq_shift)
        self.frequencies = torch.exp(exponents).reshape(1, -1)
        self.flip_sin_to_cos = flip_sin_to_cos
        self.is_odd = num_channels % 2 == 1

    def forward(self, timestep: torch.Tensor) -> torch.Tensor:
        """Map steps `[B]`, of any number type, to `[B, C]` float32."""
        angles = timestep.float().reshape(-1, 1) * self.frequencies  # [B, C/2]
        waves = [torch.sin(angles), torch.cos(angles)]
        if self.flip_sin_to_cos:
            waves.reverse()
        if self.is_odd:
            waves.append(torch.zeros_like(angles[:, :1]))
        return torch.cat(waves, dim=-1)


class TimestepEmbedding(nn.Module):
    """Two layers over the sinusoidal embedding, as diffusers' `TimestepEmbedding`.

    Args:
        in_channels: Channels of `Timesteps`.
        time_embed_dim: E, which the residual blocks take.
        act_fn: A key of `ACTIVATIONS`, between the layers.
    """

    def __init__(self, *, in_channels: int, time_embed_dim: int, act_fn: str) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(in_channels, time_embed_dim)
        self.activation = ACTIVATIONS[act_fn]
        self.linear_2 = nn.Linear(time_embed_dim, time_embed_dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `[B, in_channels]` to `[B, E]`."""
        output: torch.Tensor = self.linear_2(self.activation(self.linear_1(x)))
        return output
