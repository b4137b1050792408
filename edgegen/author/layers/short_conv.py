"""Short convolution, the mixer between the attention layers of LFM2."""

from __future__ import annotations

import torch
from torch import nn

from edgegen.author.layers.kv_cache import Cache
from edgegen.author.layers.step import Step
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
        """Return the last inputs of the convolution, `[1, 1, L - 1, D]`."""
        del kv_cache_len
        return {CONV_CACHE_PREFIX: (1, 1, self.kernel_size - 1, self.hidden_size)}

    def forward(self, x: torch.Tensor, step: Step, cache: Cache) -> tuple[torch.Tensor, Cache]:
        """Mix each channel of `[B, T, D]` with the tokens before; return it and the cache."""
        batch, tokens, _ = x.shape
        before = self.kernel_size - 1
        gated = self.b_proj(x) * self.x_proj(x)
        history = torch.cat([cache[0].reshape(batch, before, -1), gated], dim=1)
        mixed = sum(
            (history[:, i : i + tokens] * tap for i, tap in enumerate(self.taps)),
            start=torch.zeros(()),
        )
        if self.conv_bias is not None:
            mixed = mixed + self.conv_bias
        output = self.out_proj(self.c_proj(x) * mixed)
        return output, (self._last(history, step).reshape(cache[0].shape),)

    def _last(self, history: torch.Tensor, step: Step) -> torch.Tensor:
        """Return the L - 1 inputs `[B, L - 1, D]` up to the last real token of the call.

        A call may end in padding, so where they lie is known only at run time; a product
        with rows of a shifted identity picks them, which every delegate can.
        """
        before = self.kernel_size - 1
        places = torch.arange(history.shape[1], dtype=torch.int32).reshape(1, 1, -1)
        wanted = torch.arange(before, dtype=torch.int32).reshape(1, -1, 1) + step.count()
        picks = torch.where(places == wanted, torch.ones(()), torch.zeros(()))
        return torch.matmul(picks, history)
