"""The encoder: one vector for a text, from a decoder's layers that look both ways."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from edgegen.author.layers.activations import ACTIVATIONS
from edgegen.author.layers.bidirectional import BidirectionalMask
from edgegen.author.layers.embedding import Embedding
from edgegen.author.layers.rope import Rope
from edgegen.author.layers.step import Step
from edgegen.contract import TOKENS, encode_signature

LENGTH = "length"  # int32 [1], how many of the tokens are real; at least 1
EMBEDDING = "embedding"  # float32 [1, D], D of the last dense layer where there is one

# As torch.nn.functional.normalize: the length of a vector is taken to be no less.
_LEAST_SQUARE = 1e-24


class Dense(nn.Module):
    """A linear layer after the pooling, as sentence-transformers' `Dense`.

    Args:
        in_features: Size of its input.
        out_features: Size of its output.
        bias: Whether it has a bias.
        activation: A key of `ACTIVATIONS`, or `None` for none.
    """

    def __init__(
        self, *, in_features: int, out_features: int, bias: bool, activation: str | None
    ) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, out_features, bias=bias)
        self.activation = None if activation is None else ACTIVATIONS[activation]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `[B, in_features]` to `[B, out_features]`."""
        output: torch.Tensor = self.linear(x)
        return output if self.activation is None else self.activation(output)


class Encoder(nn.Module):
    """A text's embedding: layers, a mean over its tokens, dense layers, unit length.

    As sentence-transformers' `Transformer`, `Pooling`, `Dense` and `Normalize` in a row.

    Args:
        vocab_size: V.
        hidden_size: D.
        layers: The layers in order; they use no cache.
        norm: The final norm.
        ropes: Rotations by the name that layers use.
        masks: Masks by the name that layers use.
        embedding_multiplier: Multiplies the token embeddings.
        dense: What follows the mean.
        normalize: Whether the result is scaled to unit length.
    """

    # Matrices of which only the rows of the call's tokens are read.
    token_tables: tuple[str, ...] = ("embed_tokens.weight",)

    def __init__(
        self,
        *,
        vocab_size: int,
        hidden_size: int,
        layers: Sequence[nn.Module],
        norm: nn.Module,
        ropes: Mapping[str, Rope],
        masks: Mapping[str, BidirectionalMask],
        embedding_multiplier: float,
        dense: Sequence[Dense],
        normalize: bool,
    ) -> None:
        super().__init__()
        self.embed_tokens = Embedding(vocab_size, hidden_size)
        self.layers = nn.ModuleList(layers)
        self.norm = norm
        # Plain attributes and not buffers: they are computed, never loaded.
        self.ropes = dict(ropes)
        self.masks = dict(masks)
        self.embedding_multiplier = embedding_multiplier
        self.dense = nn.ModuleList(dense)
        self.normalize = normalize

    def forward(self, tokens: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
        """Embed a text.

        Args:
            tokens: int32 `[B, T]`; what follows the real tokens does not show.
            length: int32 `[1]`, how many tokens are real; at least 1.

        Returns:
            `[B, D]`, D of the last dense layer where there is one.
        """
        pooled = self.pool(self.hidden(tokens, length), length)
        for dense in self.dense:
            pooled = dense(pooled)
        if self.normalize:
            square = (pooled * pooled).sum(-1, keepdim=True)
            pooled = pooled * torch.rsqrt(square.clamp(min=_LEAST_SQUARE))
        return pooled

    def hidden(self, tokens: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
        """Return the normalized output of the last layer, `[B, T, D]`."""
        count = tokens.shape[1]
        positions = torch.arange(count, dtype=torch.int32)
        step = Step(
            input_pos=positions,
            start=positions[0],
            angles={name: rope.angles(positions, count) for name, rope in self.ropes.items()},
            masks={name: mask(length, count) for name, mask in self.masks.items()},
        )
        x = self.embed_tokens(tokens) * self.embedding_multiplier
        for layer in self.layers:
            x, _ = layer(x, step, ())
        output: torch.Tensor = self.norm(x)
        return output

    def pool(self, x: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
        """Return the mean of `[B, T, D]` over the real tokens, `[B, D]`."""
        places = torch.arange(x.shape[1], dtype=torch.int32).reshape(1, -1, 1)
        real = torch.where(places < length.reshape(1, 1, 1), torch.ones(()), torch.zeros(()))
        # Divided before it is summed: float16 would not hold the sum over a long text.
        return (x * (real / length.float().reshape(1, 1, 1))).sum(1)

    def signatures(self, prefill_lens: Sequence[int]) -> dict[str, int]:
        """Return each signature's name and its T, the longest first."""
        return {encode_signature(n): n for n in sorted(set(prefill_lens), reverse=True)}

    def sample_inputs(
        self, signature: str, tokens: int, kv_cache_len: int
    ) -> dict[str, torch.Tensor]:
        """Make inputs of the right shapes, by name."""
        del signature, kv_cache_len
        return {
            TOKENS: torch.zeros((1, tokens), dtype=torch.int32),
            LENGTH: torch.full((1,), tokens, dtype=torch.int32),
        }

    def run(self, signature: str, inputs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Compute a signature: named tensors in, named tensors out."""
        del signature
        return {EMBEDDING: self(inputs[TOKENS], inputs[LENGTH])}
