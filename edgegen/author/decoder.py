"""The decoder: one forward that serves prefill and decode."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from edgegen.author.layers.composites import param_tensor_is_read
from edgegen.author.layers.embedding import Embedding
from edgegen.author.layers.kv_cache import Cache
from edgegen.author.layers.mask import MASKED, CausalMask, narrowed
from edgegen.author.layers.rope import Rope
from edgegen.author.layers.step import Step
from edgegen.contract import (
    DECODE,
    INPUT_POS,
    LOGITS,
    MASK,
    PARAM_TENSOR,
    PARAM_TENSOR_SHAPE,
    TOKENS,
    prefill_signature,
)

Mask = Callable[[torch.Tensor, int], torch.Tensor]
"""Positions `[T]` and S to an additive mask `[1, 1 or N, T, S]`."""


class Decoder(nn.Module):
    """A decoder-only language model over a static KV cache.

    Args:
        vocab_size: V.
        hidden_size: D.
        layers: The decoder layers in order; each has a `self_attn` that owns a cache or
            reads that of an earlier layer.
        norm: The final norm.
        ropes: Rotations by the name that layers use.
        masks: Masks by the name that layers use; by default one causal mask.
        tie_word_embeddings: Whether the head shares the embedding matrix.
        head_bias: Whether the head has a bias.
        max_position_embeddings: Length of a table of learned positions; `None` for none.
        embedding_multiplier: Multiplies the token embeddings.
        logit_multiplier: Multiplies the logits.
        final_logit_softcapping: Logits are bent to stay below it.
        cache_layers: For each layer the layer whose cache it uses; by default its own.
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
        tie_word_embeddings: bool,
        masks: Mapping[str, Mask] | None = None,
        head_bias: bool = False,
        max_position_embeddings: int | None = None,
        embedding_multiplier: float = 1.0,
        logit_multiplier: float = 1.0,
        final_logit_softcapping: float | None = None,
        cache_layers: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.embed_tokens = Embedding(vocab_size, hidden_size)
        self.embed_positions = (
            Embedding(max_position_embeddings, hidden_size) if max_position_embeddings else None
        )
        self.layers = nn.ModuleList(layers)
        self.norm = norm
        # Plain attributes and not buffers: they are computed, never loaded.
        self.ropes = dict(ropes)
        self.masks = dict(masks or {"full_attention": CausalMask()})
        self.embedding_multiplier = embedding_multiplier
        self.logit_multiplier = logit_multiplier
        self.final_logit_softcapping = final_logit_softcapping
        self.cache_layers = tuple(cache_layers or range(len(layers)))
        self.lm_head = (
            None if tie_word_embeddings else nn.Linear(hidden_size, vocab_size, bias=False)
        )
        self.head_bias = nn.Parameter(torch.empty(vocab_size)) if head_bias else None

    def forward(
        self,
        tokens: torch.Tensor,
        input_pos: torch.Tensor,
        caches: Sequence[Cache],
        *,
        logits: str = "last",
        params: torch.Tensor | None = None,
        mask: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor | None, list[Cache]]:
        """Run the tokens of one call.

        Args:
            tokens: int32 `[B, T]`.
            input_pos: int32 `[T]`; its first entry decides where the cache is written.
            caches: One for each layer, in the shapes of `cache_shapes`; empty where a layer
                has none.
            logits: `none` (prefill needs only the caches), `last` or `all`.
            params: int32 `[1, 1, 1, 7]`, the signature's `param_tensor` where it has one.
            mask: `[1, 1, T, S]`, what each token sees, where the signature has that input.

        Returns:
            Logits `[B, T or 1, V]` or `None`, and the updated caches.
        """
        x, step = self.prepare(tokens, input_pos, self._kv_cache_len(caches))
        step = replace(step, params=params)
        if mask is not None:
            masks = {name: self._narrowed(name, mask, own) for name, own in step.masks.items()}
            step = replace(step, masks=masks)
        updated = list(caches)
        for index, layer in enumerate(self.layers):
            owner = self.cache_layers[index]
            x, updated[owner] = layer(x, step, updated[owner])
        if logits == "none":
            return None, updated
        return self.head(x if logits == "all" else x[:, -1:]), updated

    def _narrowed(self, name: str, mask: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
        # A causal mask hides nothing that the runtime's does not.
        is_plain = self.masks[name] == CausalMask()
        return torch.clamp(mask, min=MASKED) if is_plain else narrowed(mask, own)

    def prepare(
        self, tokens: torch.Tensor, input_pos: torch.Tensor, kv_cache_len: int
    ) -> tuple[torch.Tensor, Step]:
        """Embed tokens `[B, T]` as `[B, T, D]`, and compute what all layers share."""
        step = Step(
            input_pos=input_pos,
            start=input_pos[0],
            angles={name: r.angles(input_pos, kv_cache_len) for name, r in self.ropes.items()},
            masks={name: mask(input_pos, kv_cache_len) for name, mask in self.masks.items()},
            rope_bases={name: r.base for name, r in self.ropes.items() if r.base is not None},
        )
        x = self.embed_tokens(tokens)
        if self.embedding_multiplier != 1.0:
            x = x * self.embedding_multiplier
        if self.embed_positions is not None:
            x = x + self.embed_positions(input_pos)
        return x, step

    def head(self, x: torch.Tensor) -> torch.Tensor:
        """Turn the last layer's output `[B, T, D]` into logits `[B, T, V]`."""
        weight = self.embed_tokens.weight if self.lm_head is None else self.lm_head.weight
        logits = functional.linear(self.finish(x), weight, self.head_bias)
        return self.adjust_logits(logits)

    def finish(self, x: torch.Tensor) -> torch.Tensor:
        """Normalize the last layer's output `[B, T, D]`."""
        output: torch.Tensor = self.norm(x)
        return output

    def adjust_logits(self, logits: torch.Tensor) -> torch.Tensor:
        """Scale and bend `[..., V]`, or a part of its columns."""
        if self.logit_multiplier != 1.0:
            logits = logits * self.logit_multiplier
        if self.final_logit_softcapping is not None:
            cap = self.final_logit_softcapping
            logits = torch.tanh(logits / cap) * cap
        return logits

    def cache_shapes(self, kv_cache_len: int) -> list[dict[str, tuple[int, ...]]]:
        """Return the shapes of each layer's cache, by the prefix of their names."""
        mixers: list[Any] = [layer.self_attn for layer in self.layers]
        return [mixer.cache_shapes(kv_cache_len) for mixer in mixers]

    def cache_names(self) -> list[list[str]]:
        """Return the names of each layer's cache tensors.

        Each kind is numbered by itself, so that there is a first K cache even where the
        first layer has another kind.
        """
        counts: Counter[str] = Counter()
        names = []
        for shapes in self.cache_shapes(1):
            names.append([f"{prefix}{counts[prefix]}" for prefix in shapes])
            counts.update(shapes.keys())
        return names

    def empty_caches(self, kv_cache_len: int) -> list[Cache]:
        """Return caches that hold nothing yet."""
        return [
            tuple(torch.zeros(shape) for shape in shapes.values())
            for shapes in self.cache_shapes(kv_cache_len)
        ]

    def with_layers(self, indices: Sequence[int]) -> Decoder:
        """Return a decoder of some of the layers, whose parameters are the same objects.

        The layers must have caches of their own.
        """
        made = copy.copy(self)
        made._modules = dict(self._modules)
        made.layers = nn.ModuleList(self.layers[index] for index in indices)
        made.cache_layers = tuple(range(len(indices)))
        return made

    def signatures(self, prefill_lens: Sequence[int]) -> dict[str, int]:
        """Return each signature's name and its T, the longest prefill first, `decode` last."""
        lens = sorted(set(prefill_lens), reverse=True)
        return {**{prefill_signature(n): n for n in lens}, DECODE: 1}

    def sample_inputs(
        self, signature: str, tokens: int, kv_cache_len: int
    ) -> dict[str, torch.Tensor]:
        """Make inputs of the right shapes, by the names that the runtimes use."""
        del signature
        inputs = {
            TOKENS: torch.zeros((1, tokens), dtype=torch.int32),
            INPUT_POS: torch.arange(tokens, dtype=torch.int32),
        }
        if param_tensor_is_read():
            inputs[PARAM_TENSOR] = torch.zeros(PARAM_TENSOR_SHAPE, dtype=torch.int32)
        shapes = self.cache_shapes(kv_cache_len)
        for names, layer in zip(self.cache_names(), shapes, strict=True):
            for name, shape in zip(names, layer.values(), strict=True):
                # Of stride 0: a tensor of any size in four bytes.
                inputs[name] = torch.zeros(()).expand(shape)
        return inputs

    def run(self, signature: str, inputs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Compute a signature: named tensors in, named tensors out."""
        names = self.cache_names()
        caches = [tuple(inputs[name] for name in layer) for layer in names]
        logits, updated = self(
            inputs[TOKENS],
            inputs[INPUT_POS],
            caches,
            logits="last" if signature == DECODE else "none",
            params=inputs.get(PARAM_TENSOR),
            mask=inputs.get(MASK),
        )
        outputs = {
            name: tensor
            for layer, cache in zip(names, updated, strict=True)
            for name, tensor in zip(layer, cache, strict=True)
        }
        return outputs if logits is None else {**outputs, LOGITS: logits}

    def _kv_cache_len(self, caches: Sequence[Cache]) -> int:
        """Return S, which the first K cache tells."""
        return next(cache[0].shape[2] for cache in caches if len(cache) == 2)
