"""Mixture of experts."""

from __future__ import annotations

import torch
from torch import nn

from edgegen.author.layers.activations import ACTIVATIONS


class SparseMoE(nn.Module):
    """Gated experts, of which the router picks a few for each token.

    As HF's `Qwen3MoeSparseMoeBlock`.

    All experts are computed, side by side in one wide feed-forward whose hidden units are
    weighted by their expert's share, zero for those not picked. It needs no gather, which
    the GPU delegates refuse, and its matrices are ordinary linear layers to every recipe;
    the price is the arithmetic of every expert for every token.

    Args:
        hidden_size: D.
        moe_intermediate_size: F of one expert.
        num_experts: E.
        num_experts_per_tok: How many experts a token is sent to.
        hidden_act: A key of `ACTIVATIONS`.
        norm_topk_prob: Whether the picked experts' shares sum to 1.
    """

    def __init__(
        self,
        *,
        hidden_size: int,
        moe_intermediate_size: int,
        num_experts: int,
        num_experts_per_tok: int,
        hidden_act: str,
        norm_topk_prob: bool,
    ) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[hidden_act]
        self.num_experts = num_experts
        self.num_experts_per_tok = num_experts_per_tok
        self.norm_topk_prob = norm_topk_prob
        width = num_experts * moe_intermediate_size
        self.gate = nn.Linear(hidden_size, num_experts, bias=False)
        self.gate_proj = nn.Linear(hidden_size, width, bias=False)
        self.up_proj = nn.Linear(hidden_size, width, bias=False)
        self.down_proj = nn.Linear(width, hidden_size, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `[B, T, D]` to `[B, T, D]`."""
        batch, tokens, _ = x.shape
        share = self._shares(torch.softmax(self.gate(x), dim=-1))  # [B, T, E]
        hidden = self.activation(self.gate_proj(x)) * self.up_proj(x)  # [B, T, E * F]
        hidden = hidden.reshape(batch * tokens, self.num_experts, -1)
        hidden = hidden * share.reshape(batch * tokens, self.num_experts, 1)
        output: torch.Tensor = self.down_proj(hidden.reshape(batch, tokens, -1))
        return output

    def _shares(self, probabilities: torch.Tensor) -> torch.Tensor:
        """Keep the largest `num_experts_per_tok` of `[B, T, E]` and zero the others.

        By taking away the largest one as often, and not by top-k: the GPU delegates have no
        top-k, and an index would have to be turned into a mask. Of equal ones all are taken
        at once; HF takes the first.
        """
        left = probabilities
        for _ in range(self.num_experts_per_tok):
            largest = left.amax(dim=-1, keepdim=True)
            left = torch.where(left >= largest, torch.zeros(()), left)
        picked = probabilities - left
        if self.norm_topk_prob:
            picked = picked / picked.sum(dim=-1, keepdim=True)
        return picked
