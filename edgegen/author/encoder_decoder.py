"""The encoder-decoder: a text is encoded once, and an answer decoded token by token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from edgegen.author.encoder import LENGTH
from edgegen.author.layers.bidirectional import BidirectionalMask
from edgegen.author.layers.cross_attention import CrossAttention
from edgegen.author.layers.embedding import Embedding
from edgegen.author.layers.kv_cache import Cache, update_k, update_v
from edgegen.author.layers.mask import CausalMask
from edgegen.author.layers.relative_bias import RelativeBias
from edgegen.author.layers.step import Step
from edgegen.contract import (
    CROSS_CACHE_K_PREFIX,
    CROSS_CACHE_V_PREFIX,
    CROSS_MASK,
    DECODE,
    INPUT_POS,
    LOGITS,
    TOKENS,
    encode_signature,
)

_MASK = "full_attention"


class CrossDecoderLayer(nn.Module):
    """Attention to itself, to the encoded text, and a feed-forward block; each pre-norm.

    As the decoder's `T5Block` in HF.

    Args:
        self_attn: Attention with a cache.
        encoder_attn: Attention to the encoded text.
        mlp: The feed-forward block.
        self_attn_layer_norm: Norm before the first.
        encoder_attn_layer_norm: Norm before the second.
        final_layer_norm: Norm before the third.
    """

    def __init__(
        self,
        *,
        self_attn: nn.Module,
        encoder_attn: CrossAttention,
        mlp: nn.Module,
        self_attn_layer_norm: nn.Module,
        encoder_attn_layer_norm: nn.Module,
        final_layer_norm: nn.Module,
    ) -> None:
        super().__init__()
        self.self_attn = self_attn
        self.encoder_attn = encoder_attn
        self.mlp = mlp
        self.self_attn_layer_norm = self_attn_layer_norm
        self.encoder_attn_layer_norm = encoder_attn_layer_norm
        self.final_layer_norm = final_layer_norm

    def forward(
        self, x: torch.Tensor, step: Step, cache: Cache, cross: Cache, cross_mask: torch.Tensor
    ) -> tuple[torch.Tensor, Cache]:
        """Map `[B, T, D]` to `[B, T, D]`, and update the cache.

        Args:
            x: The tokens of this call.
            step: Their positions and masks.
            cache: k and v of the tokens before.
            cross: k `[B, N, S, H]` and v `[B, N, H, S]` of the encoded text.
            cross_mask: Additive, `[B, 1, 1, S]`.
        """
        mixed, cache = self.self_attn(self.self_attn_layer_norm(x), step, cache)
        x = x + mixed
        k, v = cross
        x = x + self.encoder_attn(self.encoder_attn_layer_norm(x), k, v, cross_mask)
        return x + self.mlp(self.final_layer_norm(x)), cache


class Stack(nn.Module):
    """Layers, the bias that they share and the norm after them, as HF's `T5Stack`.

    Args:
        layers: In order.
        relative_bias: Added to the scores of attention among the stack's own tokens.
        norm: The final norm.
    """

    def __init__(
        self, *, layers: Sequence[nn.Module], relative_bias: RelativeBias, norm: nn.Module
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.relative_bias = relative_bias
        self.norm = norm


class EncoderDecoder(nn.Module):
    """A model of two stacks, as HF's `T5ForConditionalGeneration`.

    `encode_{T}` takes up to T tokens and writes keys and values of the encoded text for every
    layer of the decoder into caches, which have S slots whatever T is. `decode` takes one
    token of the answer, those caches and its own. The first token is the config's
    `decoder_start_token_id`.

    Args:
        vocab_size: V.
        hidden_size: D.
        encoder: Its layers map `x`, a `Step` and an empty cache to the same.
        decoder: Its layers are `CrossDecoderLayer`.
        tie_word_embeddings: Whether the head shares the embedding matrix.
        logit_multiplier: Multiplies what the head is given.
    """

    # Matrices of which only the rows of the call's tokens are read.
    token_tables: tuple[str, ...] = ("embed_tokens.weight",)

    def __init__(
        self,
        *,
        vocab_size: int,
        hidden_size: int,
        encoder: Stack,
        decoder: Stack,
        tie_word_embeddings: bool,
        logit_multiplier: float = 1.0,
    ) -> None:
        super().__init__()
        self.embed_tokens = Embedding(vocab_size, hidden_size)
        self.encoder = encoder
        self.decoder = decoder
        self.logit_multiplier = logit_multiplier
        self.lm_head = (
            None if tie_word_embeddings else nn.Linear(hidden_size, vocab_size, bias=False)
        )

    def encode(
        self, tokens: torch.Tensor, length: torch.Tensor, cross_caches: Sequence[Cache]
    ) -> tuple[list[Cache], torch.Tensor]:
        """Encode a text.

        Args:
            tokens: int32 `[B, T]`; what follows the real tokens does not show.
            length: int32 `[1]`, how many tokens are real; at least 1.
            cross_caches: For each layer of the decoder k `[B, N, S, H]` and v `[B, N, H, S]`,
                S being T or more; what they hold does not show.

        Returns:
            The caches, filled, and their mask `[1, 1, 1, S]`.
        """
        count = tokens.shape[1]
        # Rows that pad the text stand where it ends. That they depend on the length also keeps
        # the converter from making a constant of T * T * buckets values.
        positions = torch.minimum(torch.arange(count, dtype=torch.int32), length - 1)
        mask = self.encoder.relative_bias(positions, count) + BidirectionalMask()(length, count)
        step = Step(positions, positions[0], {}, {_MASK: mask})
        x = self.embed_tokens(tokens)
        for layer in self.encoder.layers:
            x, _ = layer(x, step, ())
        x = self.encoder.norm(x)
        start = torch.zeros((), dtype=torch.int32)
        filled: list[Cache] = []
        for layer, (k_cache, v_cache) in zip(self._decoder_layers(), cross_caches, strict=True):
            k, v = layer.encoder_attn.keys_values(x)
            filled.append((update_k(k_cache, k, start), update_v(v_cache, v, start)))
        return filled, BidirectionalMask()(length, cross_caches[0][0].shape[2])

    def decode(
        self,
        tokens: torch.Tensor,
        input_pos: torch.Tensor,
        caches: Sequence[Cache],
        cross_caches: Sequence[Cache],
        cross_mask: torch.Tensor,
    ) -> tuple[torch.Tensor, list[Cache]]:
        """Decode one token, or several.

        Args:
            tokens: int32 `[B, T]`.
            input_pos: int32 `[T]`; its first entry decides where the cache is written.
            caches: k and v of each layer, in the shapes of `cache_shapes`.
            cross_caches: As `encode` filled them.
            cross_mask: As `encode` returned it.

        Returns:
            Logits `[B, T, V]` and the updated caches.
        """
        kv_cache_len = caches[0][0].shape[2]
        bias = self.decoder.relative_bias(input_pos, kv_cache_len)
        mask = bias + CausalMask()(input_pos, kv_cache_len)
        step = Step(input_pos, input_pos[0], {}, {_MASK: mask})
        x = self.embed_tokens(tokens)
        updated = []
        for layer, cache, cross in zip(self._decoder_layers(), caches, cross_caches, strict=True):
            x, cache = layer(x, step, cache, cross, cross_mask)
            updated.append(cache)
        x = self.decoder.norm(x)
        if self.logit_multiplier != 1.0:
            x = x * self.logit_multiplier
        weight = self.embed_tokens.weight if self.lm_head is None else self.lm_head.weight
        return functional.linear(x, weight), updated

    def cache_shapes(self, kv_cache_len: int) -> list[dict[str, tuple[int, ...]]]:
        """Return the shapes of each decoder layer's cache, by the prefix of their names.

        The caches of the encoded text have the same shapes.
        """
        mixers: list[Any] = [layer.self_attn for layer in self._decoder_layers()]
        return [mixer.cache_shapes(kv_cache_len) for mixer in mixers]

    def empty_caches(self, kv_cache_len: int) -> list[Cache]:
        """Return caches that hold nothing yet, for either kind."""
        return [
            tuple(torch.zeros(shape) for shape in shapes.values())
            for shapes in self.cache_shapes(kv_cache_len)
        ]

    def signatures(self, prefill_lens: Sequence[int]) -> dict[str, int]:
        """Return each signature's name and its T, the longest first, `decode` last."""
        lens = sorted(set(prefill_lens), reverse=True)
        return {**{encode_signature(n): n for n in lens}, DECODE: 1}

    def sample_inputs(
        self, signature: str, tokens: int, kv_cache_len: int
    ) -> dict[str, torch.Tensor]:
        """Make inputs of the right shapes, by name."""
        shapes = self.cache_shapes(kv_cache_len)
        # Of stride 0: a tensor of any size in four bytes.
        cross = _named(
            _cross_names(len(shapes)),
            [tuple(torch.zeros(()).expand(s) for s in layer.values()) for layer in shapes],
        )
        inputs = {TOKENS: torch.zeros((1, tokens), dtype=torch.int32), **cross}
        if signature != DECODE:
            return {**inputs, LENGTH: torch.full((1,), tokens, dtype=torch.int32)}
        own = {
            f"{prefix}{index}": torch.zeros(()).expand(shape)
            for index, layer in enumerate(shapes)
            for prefix, shape in layer.items()
        }
        return {
            **inputs,
            INPUT_POS: torch.arange(tokens, dtype=torch.int32),
            CROSS_MASK: torch.zeros(1, 1, 1, kv_cache_len),
            **own,
        }

    def run(self, signature: str, inputs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Compute a signature: named tensors in, named tensors out."""
        shapes = self.cache_shapes(1)
        cross_names = _cross_names(len(shapes))
        cross = [tuple(inputs[name] for name in layer) for layer in cross_names]
        if signature != DECODE:
            filled, mask = self.encode(inputs[TOKENS], inputs[LENGTH], cross)
            return {**_named(cross_names, filled), CROSS_MASK: mask}
        names = [[f"{prefix}{i}" for prefix in layer] for i, layer in enumerate(shapes)]
        logits, updated = self.decode(
            inputs[TOKENS],
            inputs[INPUT_POS],
            [tuple(inputs[name] for name in layer) for layer in names],
            cross,
            inputs[CROSS_MASK],
        )
        return {**_named(names, updated), LOGITS: logits}

    def _decoder_layers(self) -> list[Any]:
        return list(self.decoder.layers)


def _cross_names(layers: int) -> list[list[str]]:
    return [[f"{CROSS_CACHE_K_PREFIX}{i}", f"{CROSS_CACHE_V_PREFIX}{i}"] for i in range(layers)]


def _named(names: Sequence[Sequence[str]], caches: Sequence[Cache]) -> dict[str, torch.Tensor]:
    return {
        name: tensor
        for layer, cache in zip(names, caches, strict=True)
        for name, tensor in zip(layer, cache, strict=True)
    }
