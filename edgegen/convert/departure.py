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
    """

    layer: int
    cache: str
    max_abs_diff: float
    relative_diff: float


@dataclass(frozen=True)
class Departure:
    """Where a model departs from torch.

    Attributes:
        written: How the caches were filled: `token by token`, or a prefill signature.
        first: The departing caches of the first layer that has one; empty if none departs, so
            that what is wrong comes after the last layer's cache.
        layers: Every cache, in the order of the layers.
    """

    written: str
    first: tuple[LayerDeparture, ...]
    layers: tuple[LayerDeparture, ...]

    @property
    def told(self) -> str:
        """Say it in a sentence."""
        if not self.first:
            return (
                f"all caches are torch's ({self.written}): what is wrong comes after the keys and "
                "values of the last layer"
            )
        layer = self.first[0].layer
        which = " and ".join(f"{d.cache} by up to {d.max_abs_diff:.2g}" for d in self.first)
        return f"layer {layer} is the first to depart ({self.written}): {which}"


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
    if prefix == KV_CACHE_K_PREFIX:  # [B, K, S, H]
        a, b = expected[:, :, :tokens], cache[:, :, :tokens]
    elif prefix == KV_CACHE_V_PREFIX:  # [B, K, H, S]
        a, b = expected[..., :tokens], cache[..., :tokens]
    else:  # spread over S rows, of which there are more in one than in the other
        both = min(expected.size, cache.size)
        a, b = expected.reshape(-1)[:both], cache.reshape(-1)[:both]
    difference = a.astype(np.float64) - b
    norm = float(np.linalg.norm(a))
    return LayerDeparture(
        layer,
        _WORD[prefix],
        float(np.abs(difference).max()),
        float(np.linalg.norm(difference)) / norm if norm else float(np.abs(difference).max()),
    )
