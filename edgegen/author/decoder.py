"""The decoder: one forward that serves prefill and decode."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from edgegen.author.layers import causal_mask, rope_angles
from edgegen.author.layers.attention import KVCache


class DecoderLayer(nn.Module):
    """Pre-norm attention and feed-forward, each with a residual connection."""

    def __init__(
        self,
        *,
        self_attn: nn.Module,
        mlp: nn.Module,
        input_layernorm: nn.Module,
        post_attention_layernorm: nn.Module,
    ) -> None:
        super().__init__()
        self.self_attn = self_attn
        self.mlp = mlp
        self.input_layernorm = input_layernorm
        self.post_attention_layernorm = post_attention_layernorm

    def forward(
        self,
        x: torch.Tensor,
        angles: tuple[torch.Tensor, torch.Tensor],
        mask: torch.Tensor,
        start: torch.Tensor,
        kv_cache: KVCache,
    ) -> tuple[torch.Tensor, KVCache]:
        """Map `[B, T, D]` to `[B, T, D]`; the arguments are those of `Attention`."""
        attended, kv_cache = self.self_attn(self.input_layernorm(x), angles, mask, start, kv_cache)
        x = x + attended
        return x + self.mlp(self.post_attention_layernorm(x)), kv_cache


class Decoder(nn.Module):
    """A decoder-only language model over a static KV cache.

    Args:
        vocab_size: V.
        hidden_size: D.
        layers: The decoder layers in order.
        norm: The final norm.
        inv_freq: Rotary steps `[H/2]`.
        tie_word_embeddings: Whether the head shares the embedding matrix.
    """

    def __init__(
        self,
        *,
        vocab_size: int,
        hidden_size: int,
        layers: Sequence[DecoderLayer],
        norm: nn.Module,
        inv_freq: torch.Tensor,
        tie_word_embeddings: bool,
    ) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(vocab_size, hidden_size)
        self.layers = nn.ModuleList(layers)
        self.norm = norm
        # A plain attribute and not a buffer: it is computed, never loaded.
        self.inv_freq = inv_freq
        self.lm_head = (
            None if tie_word_embeddings else nn.Linear(hidden_size, vocab_size, bias=False)
        )

    def forward(
        self,
        tokens: torch.Tensor,
        input_pos: torch.Tensor,
        kv_caches: Sequence[KVCache],
        *,
        logits: str = "last",
    ) -> tuple[torch.Tensor | None, list[KVCache]]:
        """Run the tokens of one call.

        Args:
            tokens: int32 `[B, T]`.
            input_pos: int32 `[T]`; its first entry decides where the cache is written.
            kv_caches: One cache for each layer.
            logits: `none` (prefill needs only the caches), `last` or `all`.

        Returns:
            Logits `[B, T or 1, V]` or `None`, and the updated caches.
        """
        start = input_pos[0]
        angles = rope_angles(input_pos, self.inv_freq)
        mask = causal_mask(input_pos, kv_caches[0][0].shape[2])
        x = self.embed_tokens(tokens)
        updated = []
        for layer, kv_cache in zip(self.layers, kv_caches, strict=True):
            x, kv_cache = layer(x, angles, mask, start, kv_cache)
            updated.append(kv_cache)
        if logits == "none":
            return None, updated
        return self.head(x if logits == "all" else x[:, -1:]), updated

    def head(self, x: torch.Tensor) -> torch.Tensor:
        """Turn the last layer's output `[B, T, D]` into logits `[B, T, V]`."""
        x = self.norm(x)
        weight = self.embed_tokens.weight if self.lm_head is None else self.lm_head.weight
        return functional.linear(x, weight)
