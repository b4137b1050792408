"""The decoder of Gemma 3n, which keeps several versions of each token."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from edgegen.author.layers.altup import AltUp, Laurel
from edgegen.author.layers.kv_cache import Cache
from edgegen.author.layers.per_layer_input import PerLayerGate
from edgegen.author.layers.step import Step
from edgegen.author.per_layer_decoder import PER_LAYER_INPUTS, PerLayerDecoder

# HF's `Gemma3nTextModel`: magnitudes are taken to be no less.
_LEAST_SQUARE = 1e-5


class Gemma3nLayer(nn.Module):
    """A layer over all versions of each token, as HF's `Gemma3nTextDecoderLayer`.

    Args:
        self_attn: Attention.
        mlp: The feed-forward block.
        input_layernorm, post_attention_layernorm: Norms around the attention.
        pre_feedforward_layernorm, post_feedforward_layernorm: Norms around the feed-forward.
        altup: Picks the version to compute and updates the others.
        laurel: The residual beside the attention.
        per_layer: Lets in the layer's own input.
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
        altup: AltUp,
        laurel: Laurel,
        per_layer: PerLayerGate,
    ) -> None:
        super().__init__()
        self.self_attn = self_attn
        self.mlp = mlp
        self.input_layernorm = input_layernorm
        self.post_attention_layernorm = post_attention_layernorm
        self.pre_feedforward_layernorm = pre_feedforward_layernorm
        self.post_feedforward_layernorm = post_feedforward_layernorm
        self.altup = altup
        self.laurel = laurel
        self.per_layer = per_layer

    def forward(self, x: torch.Tensor, step: Step, cache: Cache) -> tuple[torch.Tensor, Cache]:
        """Map `[B, T, P, D]` to `[B, T, P, D]`, and update the cache."""
        predictions = self.altup.predict(x)
        active = self.altup.active(predictions)
        normed = self.input_layernorm(active)
        mixed, cache = self.self_attn(normed, step, cache)
        attended = active + self.post_attention_layernorm(mixed)
        both = (attended + self.laurel(normed)) * 0.5**0.5
        made = self.mlp(self.pre_feedforward_layernorm(both))
        activated = both + self.post_feedforward_layernorm(made)
        corrected = self.altup.correct(predictions, activated)
        told = self.per_layer(
            self.altup.scaled(self.altup.active(corrected)), step.extras[PER_LAYER_INPUTS]
        )
        # The first version is spared, whichever one is active.
        others = corrected[:, :, 1:] + told.reshape(*told.shape[:2], 1, -1)
        return torch.cat([corrected[:, :, :1], others], dim=2), cache


class Gemma3nDecoder(PerLayerDecoder):
    """A decoder over several versions of each token, as HF's `Gemma3nTextModel`.

    Between layers it hands on `[B, T, P, D]`.

    Args:
        altup_num_inputs: P.
        hidden_size: D.
        **shared: The other arguments of `PerLayerDecoder`.
    """

    def __init__(self, *, altup_num_inputs: int, hidden_size: int, **shared: Any) -> None:
        super().__init__(hidden_size=hidden_size, **shared)

        def projections() -> nn.ModuleList:
            return nn.ModuleList(
                nn.Linear(hidden_size, hidden_size, bias=False) for _ in range(1, altup_num_inputs)
            )

        self.altup_projections = projections()
        self.altup_unembed_projections = projections()

    def prepare(
        self, tokens: torch.Tensor, input_pos: torch.Tensor, kv_cache_len: int
    ) -> tuple[torch.Tensor, Step]:
        """Embed tokens `[B, T]` as `[B, T, P, D]`, and compute what all layers share."""
        x, step = super().prepare(tokens, input_pos, kv_cache_len)
        others = [_as_large(project(x), x) for project in self.altup_projections]
        versions = [version.reshape(*x.shape[:2], 1, -1) for version in (x, *others)]
        return torch.cat(versions, dim=2), step

    def finish(self, x: torch.Tensor) -> torch.Tensor:
        """Join the versions `[B, T, P, D]` to the normalized `[B, T, D]`."""
        first, *others = (version.flatten(2) for version in torch.split(x, 1, dim=2))
        total = first
        for version, project in zip(others, self.altup_unembed_projections, strict=True):
            total = total + _as_large(project(version), first)
        return super().finish(total / x.shape[2])


def _as_large(x: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Scale each token of `[B, T, D]` to the magnitude of `like`."""
    wanted = torch.sqrt(like.pow(2).mean(-1, keepdim=True))
    found = torch.sqrt(x.pow(2).mean(-1, keepdim=True).clamp(min=_LEAST_SQUARE))
    return x * wanted / found
