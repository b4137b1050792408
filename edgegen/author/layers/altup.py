"""The blocks of Gemma 3n: alternating updates, learned residuals, sparse activations.

AltUp (https://arxiv.org/abs/2301.13310) keeps several versions of each token, `[B, T, P, D]`, of
which a layer computes one and guesses the others.
"""

from __future__ import annotations

from statistics import NormalDist

import torch
from torch import nn

from edgegen.author.layers.mlp import GatedMLP
from edgegen.author.layers.norm import RMSNorm


class AltUp(nn.Module):
    """Guessing and correcting the versions of a token, as HF's `Gemma3nTextAltUp`.

    Args:
        hidden_size: D.
        num_inputs: P.
        active_idx: The version that the layer computes.
        correct_scale: Whether `scaled` multiplies.
        norm_eps: Of the router's norm.
    """

    def __init__(
        self,
        *,
        hidden_size: int,
        num_inputs: int,
        active_idx: int,
        correct_scale: bool,
        norm_eps: float,
    ) -> None:
        super().__init__()
        self.num_inputs = num_inputs
        self.active_idx = active_idx
        self.correct_output_scale = (
            nn.Parameter(torch.empty(hidden_size)) if correct_scale else None
        )
        self.correction_coefs = nn.Linear(num_inputs, num_inputs, bias=False)
        self.prediction_coefs = nn.Linear(num_inputs, num_inputs**2, bias=False)
        self.modality_router = nn.Linear(hidden_size, num_inputs, bias=False)
        self.router_norm = RMSNorm(size=hidden_size, eps=norm_eps)

    def predict(self, x: torch.Tensor) -> torch.Tensor:
        """Guess all versions `[B, T, P, D]` from those of the layer before."""
        batch, tokens, count, _ = x.shape
        coefs = self.prediction_coefs(self._modalities(self.active(x)))
        coefs = coefs.reshape(batch, tokens, count, count)  # a row for each guessed version
        guessed: torch.Tensor = x + torch.matmul(coefs, x)
        return guessed

    def correct(self, predictions: torch.Tensor, activated: torch.Tensor) -> torch.Tensor:
        """Move the guesses `[B, T, P, D]` by how wrong the one of `activated [B, T, D]` was."""
        batch, tokens, count, _ = predictions.shape
        innovation = activated - self.active(predictions)
        coefs = self.correction_coefs(self._modalities(activated)) + 1.0
        coefs = coefs.reshape(batch, tokens, count, 1)
        corrected: torch.Tensor = predictions + coefs * innovation.reshape(batch, tokens, 1, -1)
        return corrected

    def active(self, x: torch.Tensor) -> torch.Tensor:
        """Return the version that the layer computes, `[B, T, D]`."""
        return x[:, :, self.active_idx : self.active_idx + 1].flatten(2)

    def scaled(self, x: torch.Tensor) -> torch.Tensor:
        """Scale the channels of `[B, T, D]`."""
        return x if self.correct_output_scale is None else x * self.correct_output_scale

    def _modalities(self, x: torch.Tensor) -> torch.Tensor:
        """Map `[B, T, D]` to a weight for each version, `[B, T, P]`."""
        return torch.tanh(self.modality_router(self.router_norm(x) * x.shape[-1] ** -1.0))


class Laurel(nn.Module):
    """A learned residual of low rank (https://arxiv.org/abs/2411.07501), as HF's
    `Gemma3nTextLaurelBlock`.

    Args:
        hidden_size: D.
        rank: Width in the middle.
        norm_eps: Of the norm at the end.
    """

    def __init__(self, *, hidden_size: int, rank: int, norm_eps: float) -> None:
        super().__init__()
        self.linear_left = nn.Linear(hidden_size, rank, bias=False)
        self.linear_right = nn.Linear(rank, hidden_size, bias=False)
        self.post_laurel_norm = RMSNorm(size=hidden_size, eps=norm_eps)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `[B, T, D]` to `[B, T, D]`."""
        output: torch.Tensor = x + self.post_laurel_norm(self.linear_right(self.linear_left(x)))
        return output


class GaussianTopkMLP(GatedMLP):
    """`GatedMLP` of which only the largest gates open, as HF's `Gemma3nTextMLP`.

    Where the largest begin is told from mean and deviation, as if the gates were normally
    distributed: nothing is sorted.

    Args:
        hidden_size: D.
        intermediate_size: F.
        hidden_act: A key of `ACTIVATIONS`.
        sparsity: Share of gates that stay shut, above 0.
    """

    def __init__(
        self, *, hidden_size: int, intermediate_size: int, hidden_act: str, sparsity: float
    ) -> None:
        super().__init__(
            hidden_size=hidden_size, intermediate_size=intermediate_size, hidden_act=hidden_act
        )
        self.deviations = NormalDist().inv_cdf(sparsity)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `[B, T, D]` to `[B, T, D]`."""
        gate = self.gate_proj(x)
        mean = gate.mean(-1, keepdim=True)
        centred = gate - mean
        deviation = torch.sqrt(centred.pow(2).mean(-1, keepdim=True))
        opened = torch.relu(centred - deviation * self.deviations)
        output: torch.Tensor = self.down_proj(self.activation(opened) * self.up_proj(x))
        return output
