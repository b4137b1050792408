"""Attention between the pixels of an image, and from them to a text.

`T` is the number of pixels, `H * W`; `S` the number of tokens attended to; `N` heads of `D / N`
channels each.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from edgegen.author.layers.group_norm import GroupNorm

# diffusers gives no choice here: these are not in any config.
_GROUP_NORM_EPS = 1e-6
_LAYER_NORM_EPS = 1e-5
_FEED_FORWARD_RATIO = 4


class CrossAttention(nn.Module):
    """Attention without mask or cache, as diffusers' `Attention` with its defaults.

    Args:
        query_dim: D.
        cross_attention_dim: Channels of what is attended to; D for self-attention.
        heads: N; divides D.
    """

    def __init__(self, *, query_dim: int, cross_attention_dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(query_dim, query_dim, bias=False)
        self.to_k = nn.Linear(cross_attention_dim, query_dim, bias=False)
        self.to_v = nn.Linear(cross_attention_dim, query_dim, bias=False)
        self.to_out = nn.ModuleList([nn.Linear(query_dim, query_dim)])

    def forward(self, x: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
        """Attend from `x [B, T, D]` to `states [B, S, cross_attention_dim]`: `[B, T, D]`."""
        # Imported when run: authoring alone should not pay for the converter's memory.
        from litert_torch.generative.custom_ops.bmm_4d import bmm_4d

        head_dim = x.shape[-1] // self.heads
        q = self._split_heads(self.to_q(x)).transpose(1, 2)  # [B, N, T, D/N]
        k = self._split_heads(self.to_k(states)).transpose(1, 2)  # [B, N, S, D/N]
        v = self._split_heads(self.to_v(states)).permute(0, 2, 3, 1)  # [B, N, D/N, S]
        # Both products contract the last dimensions, which the kernels take without a copy.
        weights = torch.softmax(bmm_4d(q * head_dim**-0.5, k), dim=-1)  # [B, N, T, S]
        attended = bmm_4d(weights, v).transpose(1, 2)  # [B, T, N, D/N]
        output: torch.Tensor = self.to_out[0](attended.reshape(x.shape))
        return output

    def _split_heads(self, x: torch.Tensor) -> torch.Tensor:
        """Turn `[B, T, D]` into `[B, T, N, D/N]`."""
        batch, tokens, _ = x.shape
        return x.reshape(batch, tokens, self.heads, -1)


class GEGLU(nn.Module):
    """A GELU-gated projection (https://arxiv.org/abs/2002.05202), as diffusers' `GEGLU`.

    Args:
        dim_in: D.
        dim_out: F.
    """

    def __init__(self, *, dim_in: int, dim_out: int) -> None:
        super().__init__()
        self.proj = nn.Linear(dim_in, 2 * dim_out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `[B, T, D]` to `[B, T, F]`."""
        values, gate = self.proj(x).chunk(2, dim=-1)
        output: torch.Tensor = values * functional.gelu(gate)
        return output


class FeedForward(nn.Module):
    """GEGLU and back, four times as wide between, as diffusers' `FeedForward`.

    Args:
        dim: D.
    """

    def __init__(self, *, dim: int) -> None:
        super().__init__()
        inner = _FEED_FORWARD_RATIO * dim
        # diffusers' dropout stands at index 1, and the stored names count it.
        self.net = nn.Sequential(
            GEGLU(dim_in=dim, dim_out=inner), nn.Identity(), nn.Linear(inner, dim)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `[B, T, D]` to `[B, T, D]`."""
        output: torch.Tensor = self.net(x)
        return output


class BasicTransformerBlock(nn.Module):
    """Attention among pixels, attention to a text, feed-forward; each pre-norm and residual.

    As diffusers' `BasicTransformerBlock` with `norm_type="layer_norm"`.

    Args:
        dim: D.
        num_attention_heads: N.
        cross_attention_dim: Channels of the text.
    """

    def __init__(self, *, dim: int, num_attention_heads: int, cross_attention_dim: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=_LAYER_NORM_EPS)
        self.attn1 = CrossAttention(
            query_dim=dim, cross_attention_dim=dim, heads=num_attention_heads
        )
        self.norm2 = nn.LayerNorm(dim, eps=_LAYER_NORM_EPS)
        self.attn2 = CrossAttention(
            query_dim=dim, cross_attention_dim=cross_attention_dim, heads=num_attention_heads
        )
        self.norm3 = nn.LayerNorm(dim, eps=_LAYER_NORM_EPS)
        self.ff = FeedForward(dim=dim)

    def forward(self, x: torch.Tensor, encoder_hidden_states: torch.Tensor) -> torch.Tensor:
        """Map pixels `[B, T, D]` and text `[B, S, cross_attention_dim]` to `[B, T, D]`."""
        normed = self.norm1(x)
        x = x + self.attn1(normed, normed)
        x = x + self.attn2(self.norm2(x), encoder_hidden_states)
        output: torch.Tensor = x + self.ff(self.norm3(x))
        return output


class Transformer2D(nn.Module):
    """Transformer blocks over the pixels of an image, as diffusers' `Transformer2DModel`.

    Args:
        in_channels: C, which is the transformer's D as well.
        num_attention_heads: N; divides C.
        num_layers: Transformer blocks.
        cross_attention_dim: Channels of the text.
        norm_num_groups: Groups of the norm before; divides C.
        use_linear_projection: Whether the projections into and out of the blocks are stored as
            matrices, not as 1x1 convolutions.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        num_attention_heads: int,
        num_layers: int,
        cross_attention_dim: int,
        norm_num_groups: int,
        use_linear_projection: bool,
    ) -> None:
        super().__init__()
        self.use_linear_projection = use_linear_projection
        self.norm = GroupNorm(
            num_groups=norm_num_groups, num_channels=in_channels, eps=_GROUP_NORM_EPS
        )
        self.proj_in = _projection(in_channels, use_linear_projection)
        self.transformer_blocks = nn.ModuleList(
            BasicTransformerBlock(
                dim=in_channels,
                num_attention_heads=num_attention_heads,
                cross_attention_dim=cross_attention_dim,
            )
            for _ in range(num_layers)
        )
        self.proj_out = _projection(in_channels, use_linear_projection)

    def forward(self, x: torch.Tensor, encoder_hidden_states: torch.Tensor) -> torch.Tensor:
        """Map an image `[B, C, H, W]` and a text `[B, S, cross_attention_dim]` to an image."""
        hidden = self.norm(x)
        if not self.use_linear_projection:
            hidden = self.proj_in(hidden)
        batch, channels, height, width = x.shape
        # [B, C, H, W] -> [B, H, W, C] -> [B, T, C]
        hidden = hidden.permute(0, 2, 3, 1).reshape(batch, height * width, channels)
        if self.use_linear_projection:
            hidden = self.proj_in(hidden)
        for block in self.transformer_blocks:
            hidden = block(hidden, encoder_hidden_states)
        if self.use_linear_projection:
            hidden = self.proj_out(hidden)
        # [B, T, C] -> [B, H, W, C] -> [B, C, H, W]
        hidden = hidden.reshape(batch, height, width, channels).permute(0, 3, 1, 2)
        if not self.use_linear_projection:
            hidden = self.proj_out(hidden)
        output: torch.Tensor = x + hidden
        return output


def _projection(channels: int, linear: bool) -> nn.Module:
    return nn.Linear(channels, channels) if linear else nn.Conv2d(channels, channels, 1)
