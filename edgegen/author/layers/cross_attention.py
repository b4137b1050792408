"""Attention from a decoder to what an encoder made of another text."""

from __future__ import annotations

import torch
from torch import nn

from edgegen.author.layers.sdpa import sdpa


class CrossAttention(nn.Module):
    """Attention to encoded tokens, as HF's `T5LayerCrossAttention` without its norm.

    Keys and values are the same for every step of the decoder, so they are made once.

    Args:
        hidden_size: D, of the decoder and of the encoder.
        num_attention_heads: N.
        head_dim: H, which need not be D/N.
        scale: Multiplies the scores.
    """

    def __init__(
        self, *, hidden_size: int, num_attention_heads: int, head_dim: int, scale: float
    ) -> None:
        super().__init__()
        self.num_attention_heads = num_attention_heads
        self.head_dim = head_dim
        self.scale = scale
        inner = num_attention_heads * head_dim
        self.q_proj = nn.Linear(hidden_size, inner, bias=False)
        self.k_proj = nn.Linear(hidden_size, inner, bias=False)
        self.v_proj = nn.Linear(hidden_size, inner, bias=False)
        self.o_proj = nn.Linear(inner, hidden_size, bias=False)

    def keys_values(self, states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Map encoded tokens `[B, T, D]` to keys and values, each `[B, T, N, H]`."""
        return self._split(self.k_proj(states)), self._split(self.v_proj(states))

    def forward(
        self, x: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        """Attend from `x [B, T, D]` to `k [B, N, S, H]` and `v [B, N, H, S]`.

        Args:
            x: The decoder's tokens.
            k: Keys of the encoded tokens.
            v: Values of the encoded tokens.
            mask: Additive, `[B, 1, 1, S]`.

        Returns:
            `[B, T, D]`.
        """
        batch, tokens, _ = x.shape
        attended = sdpa(self._split(self.q_proj(x)), k, v, mask, self.scale)
        output: torch.Tensor = self.o_proj(attended.reshape(batch, tokens, -1))
        return output

    def _split(self, x: torch.Tensor) -> torch.Tensor:
        """Turn `[B, T, N * H]` into `[B, T, N, H]`."""
        batch, tokens, _ = x.shape
        return x.reshape(batch, tokens, self.num_attention_heads, self.head_dim)
