"""A model's sizes, as its signatures tell them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgegen.bundle.contents import Bundle
from edgegen.bundle.flatbuffer import Signature, read_model
from edgegen.contract import (
    CACHE_PREFIXES,
    DECODE,
    KV_CACHE_V_PREFIX,
    LOGITS,
    kv_cache_k,
    prefill_length,
)


@dataclass(frozen=True)
class Dimensions:
    """What a model's signatures tell.

    Attributes:
        signatures: Their names.
        prefill_lens: Prompt lengths that have a signature, ascending.
        kv_cache_len: Tokens that prompt and answer may have together; `None` if the model has
            no KV cache.
        num_hidden_layers: Layers that have a KV cache.
        vocab_size: Logits per token; `None` without a decode signature.
    """

    signatures: tuple[str, ...]
    prefill_lens: tuple[int, ...]
    kv_cache_len: int | None
    num_hidden_layers: int
    vocab_size: int | None


def read_dimensions(bundle: Bundle) -> Dimensions:
    """Read the dimensions of a bundle's model, and nothing else.

    Raises:
        BundleError: the model is damaged.
    """
    signatures, _ = read_model(bundle.path, bundle.model_span)
    return dimensions_of(signatures)


def dimensions_of(signatures: Sequence[Signature]) -> Dimensions:
    """Return what signatures tell about the model."""
    by_name = {signature.name: signature for signature in signatures}
    lengths = (prefill_length(name) for name in by_name)
    decode = by_name.get(DECODE)
    caches = decode.inputs if decode else {}
    shape = caches[kv_cache_k(0)].shape if kv_cache_k(0) in caches else ()
    logits = decode.outputs.get(LOGITS) if decode else None
    return Dimensions(
        signatures=tuple(by_name),
        prefill_lens=tuple(sorted(length for length in lengths if length)),
        # K is [B, K, S, H].
        kv_cache_len=shape[2] if len(shape) == 4 else None,
        # Each layer has either a K and a V cache or one of a convolution.
        num_hidden_layers=sum(
            name.startswith(CACHE_PREFIXES) and not name.startswith(KV_CACHE_V_PREFIX)
            for name in caches
        ),
        vocab_size=logits.shape[-1] if logits and logits.shape else None,
    )
