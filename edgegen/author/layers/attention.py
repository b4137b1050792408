"""Multi-head, grouped-query and multi-query self-attention with a KV cache."""

from __future__ import annotations

import torch
from torch import nn

from edgegen.author.layers.kv_cache import update_k, update_v
from edgegen.author.layers.rope import apply_rope
from edgegen.author.layers.sdpa import sdpa

KVCache = tuple[torch.Tensor, torch.Tensor]
"""One layer's cache: k `[B, K, S, H]` and v `[B, K, H, S]`."""


class Attention(nn.Module):
    """Self-attention, as HF's `LlamaAttention`.

    Args:
        hidden_size: D.
        num_attention_heads: N.
        num_key_value_heads: K; N/K query heads share one KV head.
        head_dim: H, which need not be D/N.
        bias: Whether the four projections have one.
    """

    def __init__(
        self,
        *,
        hidden_size: int,
        num_attention_heads: int,
        num_key_value_heads: int,
        head_dim: int,
        bias: bool = False,
    ) -> None:
        super().__init__()
        self.num_attention_heads = num_attention_heads
        self.num_key_value_heads = num_key_value_heads
        self.head_dim = head_dim
        self.q_proj = nn.Linear(hidden_size, num_attention_heads * head_dim, bias=bias)
        self.k_proj = nn.Linear(hidden_size, num_key_value_heads * head_dim, bias=bias)
        self.v_proj = nn.Linear(hidden_size, num_key_value_heads * head_dim, bias=bias)
        self.o_proj = nn.Linear(num_attention_heads * head_dim, hidden_size, bias=bias)

    def forward(
        self,
        x: torch.Tensor,
        angles: tuple[torch.Tensor, torch.Tensor],
        mask: torch.Tensor,
        start: torch.Tensor,
        kv_cache: KVCache,
    ) -> tuple[torch.Tensor, KVCache]:
        """Attend from the tokens of this call to the whole cache.

        Args:
            x: `[B, T, D]`.
            angles: Cosine and sine, each `[1, T, 1, H/2]`.
            mask: Additive, `[1, 1, T, S]`.
            start: Scalar int32, the first cache slot to write.
            kv_cache: The cache before this call.

        Returns:
            The output `[B, T, D]` and the updated cache.
        """
        batch, tokens, _ = x.shape
        q = self.q_proj(x).reshape(batch, tokens, self.num_attention_heads, self.head_dim)
        k = self.k_proj(x).reshape(batch, tokens, self.num_key_value_heads, self.head_dim)
        v = self.v_proj(x).reshape(batch, tokens, self.num_key_value_heads, self.head_dim)
        k_cache = update_k(kv_cache[0], apply_rope(k, *angles), start)
        v_cache = update_v(kv_cache[1], v, start)
        attended = sdpa(apply_rope(q, *angles), k_cache, v_cache, mask, self.head_dim**-0.5)
        return self.o_proj(attended.reshape(batch, tokens, -1)), (k_cache, v_cache)
