"""Feed-forward blocks."""

from __future__ import annotations

import torch
from torch import nn

from edgegen.author.layers.activations import ACTIVATIONS
from edgegen.author.layers.composites import bounded, is_enabled
from edgegen.contract import SWIGLU

# The activations that the runtimes' kernel knows, by its name; without a name it takes silu.
_GATES = {
    "silu": {},
    "swish": {},
    "gelu_fast": {"activation": "gelu_tanh"},
    "gelu_new": {"activation": "gelu_tanh"},
    "gelu_pytorch_tanh": {"activation": "gelu_tanh"},
}


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
        self.hidden_act = hidden_act
        self.activation = ACTIVATIONS[hidden_act]
        self.gate_proj = nn.Linear(hidden_size, intermediate_size, bias=bias)
        self.up_proj = nn.Linear(hidden_size, intermediate_size, bias=bias)
        self.down_proj = nn.Linear(intermediate_size, hidden_size, bias=bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `[B, T, D]` to `[B, T, D]`."""
        gate, up = self.gate_proj(x), self.up_proj(x)
        if is_enabled(SWIGLU) and self.hidden_act in _GATES:
            hidden = self._gated_composite(gate, up)
        else:
            hidden = self.activation(gate) * up
        output: torch.Tensor = self.down_proj(hidden)
        return output

    def _gated_composite(self, gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
        """Draw the runtimes' gated unit, which takes both halves as one tensor `[B, T, 2 * F]`."""
        size = gate.shape[-1]

        def gated(both: torch.Tensor) -> torch.Tensor:
            gate, up = torch.split(both, size, dim=-1)
            return self.activation(gate) * up

        attributes = {"gate_size": size, **_GATES[self.hidden_act]}
        return bounded(SWIGLU, attributes, gated, torch.cat([gate, up], dim=-1))


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
        # In four dimensions: of int8 with a bias, what is added to a product of three is an
        # error of the GPU delegate ("Unable to parse bc coord for BATCH axis").
        output: torch.Tensor = self.fc2(self.activation(self.fc1(x.unsqueeze(1))))  # [B, 1, T, D]
        return output.squeeze(1)
