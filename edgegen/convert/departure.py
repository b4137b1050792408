"""Naming the layer where a converted model first departs from torch, by what it keeps.

Each signature hands back every layer's cache, so nothing need be converted again: the first
layer whose keys, values or other state differ is the first whose inputs were still right, or
whose own projections are wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgegen.author.decoder import Decoder
from edgegen.author.layers.kv_cache import Cache
from edgegen.contract import CACHE_PREFIXES, CONV_CACHE_PREFIX, KV_CACHE_K_PREFIX, KV_CACHE_V_PREFIX
from edgegen.convert.op_departure import OperatorDeparture
from edgegen.convert.replay import TOKEN_BY_TOKEN, ReplaySession

_WORD = {KV_CACHE_K_PREFIX: "k", KV_CACHE_V_PREFIX: "v", CONV_CACHE_PREFIX: "convolution"}


@dataclass(frozen=True)
class LayerDeparture:
    """How far one cache of one layer is from torch's.

    Attributes:
        layer: The layer's index.
        cache: `k`, `v` or `convolution`.
        max_abs_diff: Largest difference of a value.
        relative_diff: Norm of the difference over the norm of torch's.
        name: What the signatures call it.
        position: The token whose part of it differs most.
    """

    layer: int
    cache: str
    max_abs_diff: float
    relative_diff: float
    name: str
    position: int


@dataclass(frozen=True)
class Departure:
    """Where a model departs from torch.

    Attributes:
        written: How the caches were filled: `token by token`, or a prefill signature.
        first: The departing caches of the first layer that has one; empty if none departs, so
            that what is wrong comes after the last layer's cache.
        layers: Every cache, in the order of the layers.
        searched: The token whose call was searched for an operator; `None` if none was.
        operator: The first operator that departs in that call.
    """

    written: str
    first: tuple[LayerDeparture, ...]
    layers: tuple[LayerDeparture, ...]
    searched: int | None = None
    operator: OperatorDeparture | None = None

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the first caches that depart."""
        return tuple(one.name for one in self.first)

    @property
    def position(self) -> int:
        """The token whose part of those caches differs most; 0 where none departs."""
        if not self.first:
            return 0
        return max(self.first, key=lambda one: one.relative_diff).position

    @property
    def told(self) -> str:
        """Say it in a sentence."""
        operator = ""
        if self.operator is not None:
            operator = f"; {self.operator.told}"
        elif self.searched is not None:
            operator = f"; in the call of token {self.searched} every operator agrees"
        if not self.first:
            return (
                f"no cache departs ({self.written}), so what is wrong comes after the keys and "
                f"values of the last layer, or is little in each{operator}"
            )
        layer = self.first[0].layer
        which = " and ".join(f"{d.cache} by up to {d.max_abs_diff:.2g}" for d in self.first)
        return f"layer {layer} is the first to depart ({self.written}): {which}{operator}"


def find_departure(
    session: ReplaySession,
    decoder: Decoder,
    tokens: Sequence[int],
    reference: Sequence[Cache],
    limit: float,
    prefill_len: int | None = None,
) -> Departure:
    """Fill the caches with `tokens`, and compare them with torch's.

    Args:
        session: The converted model.
        decoder: The authored module, which names the caches.
        tokens: Token ids.
        reference: The caches that `tokens` leave in torch, with S = T.
        limit: A cache departs if the norm of its difference is above that share of its own.
        prefill_len: The prefill signature to use; by default tokens go in one by one.
    """
    session.restart(None if prefill_len is None else (prefill_len,))
    written = TOKEN_BY_TOKEN
    if prefill_len is None:
        for token in tokens:
            session.decode(token)
    else:
        written = f"prefill_{prefill_len}"
        session.prefill(tokens)
    caches = session.caches
    found = [
        _compare(layer, name, expected.numpy(), caches[name], len(tokens))
        for layer, names in enumerate(decoder.cache_names())
        for name, expected in zip(names, reference[layer], strict=True)
    ]
    departed = [one for one in found if not one.relative_diff <= limit]
    first = tuple(one for one in departed if one.layer == departed[0].layer)
    return Departure(written, first, tuple(found))


def _compare(
    layer: int,
    name: str,
    expected: npt.NDArray[np.float32],
    cache: npt.NDArray[np.float32],
    tokens: int,
) -> LayerDeparture:
    prefix = next(prefix for prefix in CACHE_PREFIXES if name.startswith(prefix))
    a, b = _by_token(prefix, expected, tokens), _by_token(prefix, cache, tokens)
    both = min(a.shape[1], b.shape[1])  # a convolution's S rows end in more or fewer zeros
    a, b = a[:, :both], b[:, :both]
    difference = a.astype(np.float64) - b
    norm = float(np.linalg.norm(a))
    differences, norms = np.linalg.norm(difference, axis=1), np.linalg.norm(a, axis=1)
    worst = np.nan_to_num(differences / np.where(norms == 0, 1, norms), nan=np.inf).argmax()
    return LayerDeparture(
        layer,
        _WORD[prefix],
        float(np.abs(difference).max()),
        float(np.linalg.norm(difference)) / norm if norm else float(np.abs(difference).max()),
        name,
        tokens - len(a) + int(worst),
    )


def _by_token(prefix: str, cache: npt.NDArray[np.float32], tokens: int) -> npt.NDArray[np.float32]:
    """Return a row for each token, or one for all where the cache is what the last one left."""
    if prefix == KV_CACHE_K_PREFIX:  # [B, K, S, H] -> [S, B, K, H]
        return cache[:, :, :tokens].transpose(2, 0, 1, 3).reshape(tokens, -1)
    if prefix == KV_CACHE_V_PREFIX:  # [B, K, H, S] -> [S, B, K, H]
        return cache[..., :tokens].transpose(3, 0, 1, 2).reshape(tokens, -1)
    return cache.reshape(1, -1)
