"""Feed-forward blocks."""

from __future__ import annotations

import torch
from torch import nn

from edgegen.author.layers.activations import ACTIVATIONS


class GatedMLP(nn.Module):
    """`down(act(gate(x)) * up(x))` (https://arxiv.org/abs/2002.05202), as HF's `LlamaMLP`.

    Args:
        hidden_size: D.
        intermediate_size: F.
        hidden_act: A key of `ACTIVATIONS`.
        bias: Whether the projections have one.
    """

    def __init__(
        self, *, hidden_size: int, intermediate_size: int, hidden_act: str, bias: bool = False
    ) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[hidden_act]
        self.gate_proj = nn.Linear(hidden_size, intermediate_size, bias=bias)
        self.up_proj = nn.Linear(hidden_size, intermediate_size, bias=bias)
        self.down_proj = nn.Linear(intermediate_size, hidden_size, bias=bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `[B, T, D]` to `[B, T, D]`."""
        output: torch.Tensor = self.down_proj(self.activation(self.gate_proj(x)) * self.up_proj(x))
        return output


class MLP(nn.Module):
    """`fc2(act(fc1(x)))`, as HF's `PhiMLP`.

    Args:
        hidden_size: D.
        intermediate_size: F.
        hidden_act: A key of `ACTIVATIONS`.
        bias: Whether the projections have one.
    """

    def __init__(
        self, *, hidden_size: int, intermediate_size: int, hidden_act: str, bias: bool = True
    ) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[hidden_act]
        self.fc1 = nn.Linear(hidden_size, intermediate_size, bias=bias)
        self.fc2 = nn.Linear(intermediate_size, hidden_size, bias=bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `[B, T, D]` to `[B, T, D]`."""
        output: torch.Tensor = self.fc2(self.activation(self.fc1(x)))
        return output
