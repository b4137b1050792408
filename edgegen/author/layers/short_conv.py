"""Short convolution, the mixer between the attention layers of LFM2."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from edgegen.author.layers.kv_cache import Cache, cast
from edgegen.author.layers.step import Step, one_at_zero
from edgegen.contract import CONV_CACHE_PREFIX


class ShortConv(nn.Module):
    """A gated depthwise convolution over the last few tokens, as HF's `Lfm2ShortConv`.

    Args:
        hidden_size: D.
        kernel_size: L, how many tokens a channel sees (`conv_L_cache`).
        bias: Whether the projections and the convolution have one.
    """

    def __init__(self, *, hidden_size: int, kernel_size: int, bias: bool) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.kernel_size = kernel_size
        self.b_proj = nn.Linear(hidden_size, hidden_size, bias=bias)
        self.c_proj = nn.Linear(hidden_size, hidden_size, bias=bias)
        self.x_proj = nn.Linear(hidden_size, hidden_size, bias=bias)
        # One vector for each tap: a sum of shifted products needs no convolution kernel of
        # the delegates, which for one channel a group they lack.
        self.taps = nn.ParameterList(torch.empty(hidden_size) for _ in range(kernel_size))
        self.conv_bias = nn.Parameter(torch.empty(hidden_size)) if bias else None
        self.out_proj = nn.Linear(hidden_size, hidden_size, bias=bias)

    def cache_shapes(self, kv_cache_len: int) -> dict[str, tuple[int, ...]]:
        """Return the shape that holds the last L - 1 inputs, `[1, 1, S, X]`.

        `edgegen.contract.CONV_CACHE_PREFIX` says why it has S rows.
        """
        values = (self.kernel_size - 1) * self.hidden_size
        return {CONV_CACHE_PREFIX: (1, 1, kv_cache_len, -(-values // kv_cache_len))}

    def forward(self, x: torch.Tensor, step: Step, cache: Cache) -> tuple[torch.Tensor, Cache]:
        """Mix each channel of `[B, T, D]` with the tokens before; return it and the cache."""
        batch, tokens, _ = x.shape
        before = self.kernel_size - 1
        values = before * self.hidden_size
        gated = self.b_proj(x) * self.x_proj(x)
        state = (
            cast(cache[0], torch.float32).reshape(batch, -1)[:, :values].reshape(batch, before, -1)
        )
        history = torch.cat([state, gated], dim=1)  # [B, L - 1 + T, D]
        mixed = sum(
            (history[:, i : i + tokens] * tap for i, tap in enumerate(self.taps)),
            start=torch.zeros(()),
        )
        if self.conv_bias is not None:
            mixed = mixed + self.conv_bias
        output = self.out_proj(self.c_proj(x) * mixed)
        state = self._last(history, step).reshape(batch, 1, 1, values)
        # Four dimensions, because the GPU delegate pads no fewer.
        spread = functional.pad(state, (0, cache[0][0].numel() - values))
        return output, (cast(spread.reshape(cache[0].shape), cache[0].dtype),)

    def _last(self, history: torch.Tensor, step: Step) -> torch.Tensor:
        """Return the L - 1 inputs `[B, L - 1, D]` up to the last real token of the call.

        A call may end in padding, so where they lie is known only at run time. They are
        picked by weights that are 1 in one place and 0 elsewhere; a product of matrices
        would do the same, but of three dimensions the GPU delegate refuses it.
        """
        before, total = self.kernel_size - 1, history.shape[1]
        if total == self.kernel_size:
            return history[:, 1:]
        last = step.count() - 1.0  # counted from the call's first token
        places = torch.arange(total, dtype=torch.float32).reshape(1, 1, 1, -1) - float(before)
        picked = [
            (history * one_at_zero(places - (last - back)).reshape(1, -1, 1)).sum(1, keepdim=True)
            for back in reversed(range(before))
        ]
        return torch.cat(picked, dim=1)
