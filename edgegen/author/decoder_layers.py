"""The ways in which decoder layers join a mixer, a feed-forward block and norms.

A mixer is what looks at other tokens: attention, or a convolution. It maps `[B, T, D]`, the
step and its cache to `[B, T, D]` and the updated cache. Attribute names are Hugging Face's, so
that weight maps have little to say.
"""

from __future__ import annotations

import torch
from torch import nn

from edgegen.author.layers.kv_cache import Cache
from edgegen.author.layers.step import Step


class PreNormLayer(nn.Module):
    """`x + mixer(norm(x))`, then `x + mlp(norm(x))`, as HF's `LlamaDecoderLayer`.

    Args:
        self_attn: The mixer.
        mlp: The feed-forward block.
        input_layernorm: Norm before the mixer.
        post_attention_layernorm: Norm before the feed-forward block.
        residual_multiplier: Multiplies what is added, as in Granite.
    """

    def __init__(
        self,
        *,
        self_attn: nn.Module,
        mlp: nn.Module,
        input_layernorm: nn.Module,
        post_attention_layernorm: nn.Module,
        residual_multiplier: float = 1.0,
    ) -> None:
        super().__init__()
        self.self_attn = self_attn
        self.mlp = mlp
        self.input_layernorm = input_layernorm
        self.post_attention_layernorm = post_attention_layernorm
        self.residual_multiplier = residual_multiplier

    def forward(self, x: torch.Tensor, step: Step, cache: Cache) -> tuple[torch.Tensor, Cache]:
        """Map `[B, T, D]` to `[B, T, D]`, and update the cache."""
        mixed, cache = self.self_attn(self.input_layernorm(x), step, cache)
        x = x + self._scaled(mixed)
        return x + self._scaled(self.mlp(self.post_attention_layernorm(x))), cache

    def _scaled(self, x: torch.Tensor) -> torch.Tensor:
        return x if self.residual_multiplier == 1.0 else x * self.residual_multiplier


class PostNormLayer(nn.Module):
    """`x + norm(mixer(x))`, then `x + norm(mlp(x))`, as HF's `Olmo2DecoderLayer`.

    Args:
        self_attn: The mixer.
        mlp: The feed-forward block.
        post_attention_layernorm: Norm after the mixer.
        post_feedforward_layernorm: Norm after the feed-forward block.
    """

    def __init__(
        self,
        *,
        self_attn: nn.Module,
        mlp: nn.Module,
        post_attention_layernorm: nn.Module,
        post_feedforward_layernorm: nn.Module,
    ) -> None:
        super().__init__()
        self.self_attn = self_attn
        self.mlp = mlp
        self.post_attention_layernorm = post_attention_layernorm
        self.post_feedforward_layernorm = post_feedforward_layernorm

    def forward(self, x: torch.Tensor, step: Step, cache: Cache) -> tuple[torch.Tensor, Cache]:
        """Map `[B, T, D]` to `[B, T, D]`, and update the cache."""
        mixed, cache = self.self_attn(x, step, cache)
        x = x + self.post_attention_layernorm(mixed)
        return x + self.post_feedforward_layernorm(self.mlp(x)), cache


class SandwichNormLayer(nn.Module):
    """Norms before and after both blocks, as HF's `Gemma2DecoderLayer`.

    Args:
        self_attn: The mixer.
        mlp: The feed-forward block.
        input_layernorm: Norm before the mixer.
        post_attention_layernorm: Norm after the mixer.
        pre_feedforward_layernorm: Norm before the feed-forward block.
        post_feedforward_layernorm: Norm after it.
    """

    def __init__(
        self,
        *,
        self_attn: nn.Module,
        mlp: nn.Module,
        input_layernorm: nn.Module,
        post_attention_layernorm: nn.Module,
        pre_feedforward_layernorm: nn.Module,
        post_feedforward_layernorm: nn.Module,
    ) -> None:
        super().__init__()
        self.self_attn = self_attn
        self.mlp = mlp
        self.input_layernorm = input_layernorm
        self.post_attention_layernorm = post_attention_layernorm
        self.pre_feedforward_layernorm = pre_feedforward_layernorm
        self.post_feedforward_layernorm = post_feedforward_layernorm

    def forward(self, x: torch.Tensor, step: Step, cache: Cache) -> tuple[torch.Tensor, Cache]:
        """Map `[B, T, D]` to `[B, T, D]`, and update the cache."""
        mixed, cache = self.self_attn(self.input_layernorm(x), step, cache)
        x = x + self.post_attention_layernorm(mixed)
        made = self.mlp(self.pre_feedforward_layernorm(x))
        return x + self.post_feedforward_layernorm(made), cache


class ParallelLayer(nn.Module):
    """Mixer and feed-forward block side by side, as HF's `PhiDecoderLayer`.

    `x + mixer(norm(x)) + mlp(norm(x))`, with one norm for both or one for each.

    Args:
        self_attn: The mixer.
        mlp: The feed-forward block.
        input_layernorm: Norm before the mixer, and before the feed-forward block where it has
            none of its own.
        mlp_layernorm: Norm before the feed-forward block.
    """

    def __init__(
        self,
        *,
        self_attn: nn.Module,
        mlp: nn.Module,
        input_layernorm: nn.Module,
        mlp_layernorm: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.self_attn = self_attn
        self.mlp = mlp
        self.input_layernorm = input_layernorm
        self.mlp_layernorm = mlp_layernorm

    def forward(self, x: torch.Tensor, step: Step, cache: Cache) -> tuple[torch.Tensor, Cache]:
        """Map `[B, T, D]` to `[B, T, D]`, and update the cache."""
        normed = self.input_layernorm(x)
        mixed, cache = self.self_attn(normed, step, cache)
        own = normed if self.mlp_layernorm is None else self.mlp_layernorm(x)
        return x + mixed + self.mlp(own), cache
