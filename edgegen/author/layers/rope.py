"""Rotary position embeddings (https://arxiv.org/abs/2104.09864), half-split form."""

from __future__ import annotations

import math

import torch

from edgegen.author.config import RopeScaling


def rope_inv_freq(head_dim: int, theta: float, scaling: RopeScaling | None) -> torch.Tensor:
    """Return the angular step per position of each channel pair, `[H/2]` float32.

    `llama3` keeps short wavelengths, divides long ones by `factor` and blends between
    (HF: `transformers.modeling_rope_utils._compute_llama3_parameters`).
    """
    # On the CPU even while the parameters are built on the meta device: this is computed,
    # not loaded.
    steps = torch.arange(0, head_dim, 2, dtype=torch.float32, device="cpu") / head_dim
    inv_freq = 1.0 / theta**steps
    if scaling is None:
        return inv_freq
    if scaling.rope_type == "linear":
        return inv_freq / scaling.factor
    turns = scaling.original_max_position_embeddings * inv_freq / (2 * math.pi)
    blend = (turns - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor)
    keep = blend.clamp(0.0, 1.0)
    return inv_freq / scaling.factor * (1 - keep) + inv_freq * keep


def rope_angles(
    input_pos: torch.Tensor, inv_freq: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return cosine and sine `[1, T, 1, H/2]` for positions `[T]`.

    Computed in the graph: a table would have to be gathered, which the GPU delegate refuses.
    """
    angles = input_pos.float().reshape(1, -1, 1, 1) * inv_freq.reshape(1, 1, 1, -1)
    return torch.cos(angles), torch.sin(angles)


def apply_rope(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotate `[B, T, heads, H]` by angles `[1, T, 1, H/2]`; channel i pairs with i + H/2."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)
