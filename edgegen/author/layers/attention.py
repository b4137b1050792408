"""Multi-head, grouped-query and multi-query self-attention with a KV cache."""

from __future__ import annotations

import torch
from torch import nn

from edgegen.author.layers.kv_cache import Cache, cast, update_kv
from edgegen.author.layers.rope import rotate
from edgegen.author.layers.sdpa import sdpa
from edgegen.author.layers.step import Step
from edgegen.contract import KV_CACHE_K_PREFIX, KV_CACHE_V_PREFIX


class Attention(nn.Module):
    """Self-attention, as HF's `LlamaAttention` and its many relatives.

    Args:
        hidden_size: D.
        num_attention_heads: N.
        num_key_value_heads: K; N/K query heads share one KV head.
        head_dim: H, which need not be D/N.
        bias: Whether the query, key and value projections have one.
        output_bias: Whether the output projection has one; by default as `bias`.
        mask: Which of the step's masks applies.
        rope: Which of the step's rotations applies; `None` for no rotation.
        scale: Multiplies the scores; by default `H ** -0.5`.
        q_norm, k_norm, v_norm: Norms of `[B, T, heads, H]`; `None` for none.
        norm_first: Whether q and k norms come before the rotation.
        logit_softcapping: See `sdpa`.
        sinks: Whether each head has an attention sink; see `sdpa`.
        own_kv: Whether the layer makes keys and values; otherwise it reads the cache of an
            earlier layer, which the decoder hands to it.
        own_v: Whether values have a projection of their own; otherwise they are the keys
            before norm and rotation, as in Gemma 4.
    """

    def __init__(
        self,
        *,
        hidden_size: int,
        num_attention_heads: int,
        num_key_value_heads: int,
        head_dim: int,
        bias: bool = False,
        output_bias: bool | None = None,
        mask: str = "full_attention",
        rope: str | None = "full_attention",
        scale: float | None = None,
        q_norm: nn.Module | None = None,
        k_norm: nn.Module | None = None,
        v_norm: nn.Module | None = None,
        norm_first: bool = True,
        logit_softcapping: float | None = None,
        sinks: bool = False,
        own_kv: bool = True,
        own_v: bool = True,
    ) -> None:
        super().__init__()
        self.num_attention_heads = num_attention_heads
        self.num_key_value_heads = num_key_value_heads
        self.head_dim = head_dim
        self.mask = mask
        self.rope = rope
        self.scale = head_dim**-0.5 if scale is None else scale
        self.norm_first = norm_first
        self.logit_softcapping = logit_softcapping
        self.own_kv = own_kv
        queries, keys = num_attention_heads * head_dim, num_key_value_heads * head_dim
        self.q_proj = nn.Linear(hidden_size, queries, bias=bias)
        self.o_proj = nn.Linear(
            queries, hidden_size, bias=bias if output_bias is None else output_bias
        )
        self.q_norm = q_norm
        if own_kv:
            self.k_proj = nn.Linear(hidden_size, keys, bias=bias)
            self.v_proj = nn.Linear(hidden_size, keys, bias=bias) if own_v else None
            self.k_norm = k_norm
            self.v_norm = v_norm
        self.sinks = nn.Parameter(torch.empty(num_attention_heads)) if sinks else None

    def cache_shapes(self, kv_cache_len: int) -> dict[str, tuple[int, ...]]:
        """Return k `[1, K, S, H]` and v `[1, K, H, S]` by the prefix of their names."""
        if not self.own_kv:
            return {}
        heads, size = self.num_key_value_heads, self.head_dim
        return {
            KV_CACHE_K_PREFIX: (1, heads, kv_cache_len, size),
            KV_CACHE_V_PREFIX: (1, heads, size, kv_cache_len),
        }

    def forward(self, x: torch.Tensor, step: Step, cache: Cache) -> tuple[torch.Tensor, Cache]:
        """Attend from the tokens of this call to the whole cache.

        Args:
            x: `[B, T, D]`.
            step: Positions, rotations and masks.
            cache: k and v before this call.

        Returns:
            The output `[B, T, D]` and the updated cache.
        """
        batch, tokens, _ = x.shape
        q = self.queries(x, step)
        if self.own_kv:
            k = self.k_proj(x).reshape(batch, tokens, self.num_key_value_heads, self.head_dim)
            v = k
            if self.v_proj is not None:
                v = self.v_proj(x).reshape(batch, tokens, self.num_key_value_heads, self.head_dim)
            if self.v_norm is not None:
                v = self.v_norm(v)
            k = self._place(k, self.k_norm, step)
            cache = update_kv(cache, k, v, step)
        k_cache, v_cache = cache
        attended = sdpa(
            q,
            cast(k_cache, torch.float32),
            cast(v_cache, torch.float32),
            step.masks[self.mask],
            self.scale,
            logit_softcapping=self.logit_softcapping,
            sinks=self.sinks,
            params=step.params,
        )
        return self.o_proj(attended.reshape(batch, tokens, -1)), cache

    def queries(self, x: torch.Tensor, step: Step) -> torch.Tensor:
        """Map `[B, T, D]` to normalized and rotated queries `[B, T, N, H]`."""
        batch, tokens, _ = x.shape
        q = self.q_proj(x).reshape(batch, tokens, self.num_attention_heads, self.head_dim)
        return self._place(q, self.q_norm, step)

    def _place(self, x: torch.Tensor, norm: nn.Module | None, step: Step) -> torch.Tensor:
        """Normalize and rotate `[B, T, heads, H]`, in the model's order."""
        if norm is not None and self.norm_first:
            x = norm(x)
        if self.rope is not None:
            x = rotate(x, step, self.rope)
        if norm is not None and not self.norm_first:
            x = norm(x)
        return x
