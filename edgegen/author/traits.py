"""What an architecture supports, read off the model that its file builds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn


def traits(model_type: str) -> tuple[str, ...]:
    """Return what sets an architecture apart, in words.

    Its tiny config, which has every feature of the architecture in it, is built on the meta
    device and looked at: nothing here has to be kept in step with the files.
    """
    import torch

    from edgegen.author.models import architecture

    chosen = architecture(model_type)
    with torch.device("meta"):
        module: Any = chosen.build(chosen.read_config(chosen.tiny_config()))
    found = dict.fromkeys(
        (*_positions(module), *_attention(module), *_feed_forward(module), *_whole(module))
    )
    return tuple(found)


def _positions(module: Any) -> Iterator[str]:
    from edgegen.author.layers import AlibiMask

    if getattr(module, "ropes", None):
        yield "RoPE"
    if len(getattr(module, "ropes", {})) > 1 and len(_thetas(module)) > 1:
        yield "RoPE by layer type"
    if getattr(module, "embed_positions", None) is not None:
        yield "learned positions"
    if any(isinstance(mask, AlibiMask) for mask in getattr(module, "masks", {}).values()):
        yield "ALiBi"


def _thetas(module: Any) -> set[tuple[float, ...]]:
    return {tuple(rope.inv_freq.tolist()) for rope in module.ropes.values()}


def _attention(module: nn.Module) -> Iterator[str]:
    masks = getattr(module, "masks", {}).values()
    layers = list(_of(module, "Attention"))
    if any(a.num_key_value_heads < a.num_attention_heads for a in layers):
        yield "grouped-query attention"
    if any(getattr(mask, "sliding_window", None) for mask in masks):
        yield "sliding window"
    if any(a.rope is None for a in layers) and any(a.rope is not None for a in layers):
        yield "layers without RoPE"
    if any(a.q_norm is not None for a in layers):
        yield "query and key norms"
    if any(a.logit_softcapping is not None for a in layers):
        yield "soft-capped scores"
    if any(a.sinks is not None for a in layers):
        yield "attention sinks"
    if any(not a.own_kv for a in layers):
        yield "shared KV cache"
    if any(True for _ in _of(module, "CrossAttention")):
        yield "cross attention"
    if any(True for _ in _of(module, "ShortConv")):
        yield "short convolutions"


def _feed_forward(module: nn.Module) -> Iterator[str]:
    if any(True for _ in _of(module, "SparseMoE")):
        yield "mixture of experts"
    if any(True for _ in _of(module, "ParallelLayer")):
        yield "parallel attention and feed-forward"
    if any(True for _ in _of(module, "SandwichNormLayer")):
        yield "norms before and after each block"
    if any(True for _ in _of(module, "PostNormLayer")):
        yield "norms after each block"


def _whole(module: Any) -> Iterator[str]:
    if getattr(module, "embedding_multiplier", 1.0) != 1.0:
        yield "scaled embeddings"
    if getattr(module, "logit_multiplier", 1.0) != 1.0:
        yield "scaled logits"
    if getattr(module, "final_logit_softcapping", None) is not None:
        yield "soft-capped logits"
    if len(getattr(module, "token_tables", ())) > 1:
        yield "per-layer embeddings"


def _of(module: nn.Module, name: str) -> Iterator[Any]:
    """Iterate over the parts whose class, or a class it derives from, has that name."""
    for part in module.modules():
        if any(base.__name__ == name for base in type(part).__mro__):
            yield part
