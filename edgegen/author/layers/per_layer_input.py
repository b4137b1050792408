"""Per-layer inputs: what each layer of Gemma 3n and 4 is told about the token itself."""

from __future__ import annotations

import torch
from torch import nn

from edgegen.author.layers.activations import ACTIVATIONS
from edgegen.author.layers.embedding import Embedding
from edgegen.author.layers.norm import RMSNorm


class PerLayerInputs(nn.Module):
    """A small vector for each layer and token, as `project_per_layer_inputs` of HF's Gemma 3n.

    One half is looked up by the token, the other is projected from its embedding.

    Args:
        vocab_size: V.
        table_size: Rows of the table; tokens from there on have its first row.
        hidden_size: D.
        num_hidden_layers: L.
        per_layer_size: E, HF's `hidden_size_per_layer_input`.
        norm_eps: Of the norm over E.
    """

    def __init__(
        self,
        *,
        vocab_size: int,
        table_size: int,
        hidden_size: int,
        num_hidden_layers: int,
        per_layer_size: int,
        norm_eps: float,
    ) -> None:
        super().__init__()
        self.whole_vocabulary = table_size >= vocab_size
        self.table_size = table_size
        self.shape = (num_hidden_layers, per_layer_size)
        width = num_hidden_layers * per_layer_size
        self.embed_tokens_per_layer = Embedding(table_size, width)
        self.per_layer_model_projection = nn.Linear(hidden_size, width, bias=False)
        self.per_layer_projection_norm = RMSNorm(size=per_layer_size, eps=norm_eps)

    def forward(self, tokens: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Map tokens `[B, T]` and their embeddings `[B, T, D]` to `[B, T, L, E]`."""
        if not self.whole_vocabulary:
            known = tokens < self.table_size
            tokens = torch.where(known, tokens, torch.zeros((), dtype=tokens.dtype))
        shape = (*tokens.shape, *self.shape)
        looked_up = self.embed_tokens_per_layer(tokens) * self.shape[1] ** 0.5
        projected = self.per_layer_model_projection(x) * x.shape[-1] ** -0.5
        projected = self.per_layer_projection_norm(projected.reshape(shape))
        output: torch.Tensor = (projected + looked_up.reshape(shape)) * 0.5**0.5
        return output


class PerLayerGate(nn.Module):
    """A layer's own input let in by its output, as the end of HF's `Gemma3nTextDecoderLayer`.

    Args:
        index: Which layer it is.
        hidden_size: D.
        per_layer_size: E.
        hidden_act: A key of `ACTIVATIONS`.
        norm_eps: Of the norm at the end.
    """

    def __init__(
        self, *, index: int, hidden_size: int, per_layer_size: int, hidden_act: str, norm_eps: float
    ) -> None:
        super().__init__()
        self.index = index
        self.activation = ACTIVATIONS[hidden_act]
        self.per_layer_input_gate = nn.Linear(hidden_size, per_layer_size, bias=False)
        self.per_layer_projection = nn.Linear(per_layer_size, hidden_size, bias=False)
        self.post_per_layer_input_norm = RMSNorm(size=hidden_size, eps=norm_eps)

    def forward(self, x: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
        """Map the layer's output `[B, T, D]` and all inputs `[B, T, L, E]` to `[B, T, D]`."""
        own = inputs[:, :, self.index : self.index + 1].flatten(2)  # [B, T, E]
        gated = self.activation(self.per_layer_input_gate(x)) * own
        output: torch.Tensor = self.post_per_layer_input_norm(self.per_layer_projection(gated))
        return output
