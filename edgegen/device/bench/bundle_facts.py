"""What of a bundle decides how fast it can be: sizes, read off its graph."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgegen.bundle.contents import Bundle
from edgegen.bundle.dimensions import dimensions_of
from edgegen.bundle.flatbuffer import Signature, read_model
from edgegen.bundle.weight_reads import read_weight_reads
from edgegen.contract import DECODE, KV_CACHE_K_PREFIX, KV_CACHE_V_PREFIX
from edgegen.device.bench.record import BundleFacts
from edgegen.provenance import hash_files, provenance_path

_BYTES = {"FLOAT32": 4, "FLOAT16": 2, "BFLOAT16": 2, "INT8": 1, "UINT8": 1}
_MAX_PROVENANCE_BYTES = 16 * 1024**2


def read_bundle_facts(bundle: Bundle) -> BundleFacts:
    """Read a bundle's facts; the whole file is hashed, with the stage `hash bundle`.

    Raises:
        BundleError: the model is damaged.
    """
    signatures, _ = read_model(bundle.path, bundle.model_span)
    dimensions = dimensions_of(signatures)
    reads = read_weight_reads(bundle)
    hashed = hash_files([bundle.path], "hash bundle")
    return BundleFacts(
        name=bundle.path.name,
        sha256=hashed[bundle.path.name],
        size_bytes=bundle.path.stat().st_size,
        recipe=_recipe(bundle.path),
        weight_bytes=reads.stored_bytes,
        weight_bytes_per_decode=reads.per_decode_bytes,
        kv_bytes_per_token=_kv_bytes_per_token(signatures, dimensions.kv_cache_len),
        kv_cache_len=dimensions.kv_cache_len,
        prefill_lens=dimensions.prefill_lens,
    )


def padded_tokens(prefill_lens: Sequence[int], tokens: int) -> int | None:
    """Return how many tokens the signatures compute for a prompt, padding included.

    A runtime takes the longest signature that fits the rest of the prompt, again and again, and
    pads what is left to the shortest. `None` if there is no signature.
    """
    if not prefill_lens:
        return None
    left = tokens
    for length in sorted(prefill_lens, reverse=True):
        left %= length
    shortest = min(prefill_lens)
    return tokens - left + (shortest if left else 0)


def _kv_bytes_per_token(signatures: Sequence[Signature], kv_cache_len: int | None) -> int | None:
    decode = next((one for one in signatures if one.name == DECODE), None)
    if decode is None or not kv_cache_len:
        return None
    total = 0
    for name, tensor in decode.inputs.items():
        if not name.startswith((KV_CACHE_K_PREFIX, KV_CACHE_V_PREFIX)):
            continue
        if tensor.dtype not in _BYTES:
            return None
        total += math.prod(tensor.shape) * _BYTES[tensor.dtype]
    return total // kv_cache_len


def _recipe(path: Path) -> str | None:
    """Return the recipe that the record beside the bundle tells of, if it is readable."""
    file = provenance_path(path)
    try:
        if file.stat().st_size > _MAX_PROVENANCE_BYTES:
            return None
        record: Any = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    recipe = record.get("recipe") if isinstance(record, dict) else None
    return recipe if isinstance(recipe, str) else None
