"""The authored model in float32, one layer in memory at a time: what a bundle must agree with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from edgegen.author.decoder import Decoder
from edgegen.author.layers.kv_cache import Cache
from edgegen.author.model import AuthoredModel
from edgegen.author.tensor_source import TensorSource

_HEAD_BLOCK_BYTES = 32_000_000


def reference_logits(
    model: AuthoredModel,
    tokens: Sequence[int],
    sources: Mapping[str, TensorSource] | None = None,
) -> torch.Tensor:
    """Compute the logits after each of `tokens` in one pass, `[T, V]` float32.

    Only the embedding rows in use, one decoder layer and a block of the head are in memory
    at any time, so that a model larger than memory can be checked.

    Args:
        model: The model, a decoder.
        tokens: Token ids.
        sources: Tensors to use instead of the model's own, by parameter name.
    """
    return reference_run(model, tokens, sources)[0]


@torch.no_grad()
def reference_run(
    model: AuthoredModel,
    tokens: Sequence[int],
    sources: Mapping[str, TensorSource] | None = None,
) -> tuple[torch.Tensor, list[Cache]]:
    """Do as `reference_logits`, and return the caches that `tokens` leave, too.

    Returns:
        The logits `[T, V]`, and for each layer its cache with S = T.
    """
    decoder = model.module
    assert isinstance(decoder, Decoder)
    sources = sources or model.sources
    count = len(tokens)
    used = sorted(set(tokens))
    # Tables are read for the tokens in use alone, which are numbered anew.
    renumbered = torch.tensor([[used.index(token) for token in tokens]], dtype=torch.int32)
    positions = torch.arange(count, dtype=torch.int32)
    rows = {name: token_rows(sources[name], used) for name in decoder.token_tables}
    outside = {
        name: torch.from_numpy(source.read())
        for name, source in sources.items()
        if not name.startswith("layers.") and name not in (*rows, "lm_head.weight")
    }
    state = {**outside, **rows}
    x, step = in_method(decoder, "prepare", state, renumbered, positions, count)
    caches = decoder.empty_caches(count)
    for index, layer in enumerate(decoder.layers):
        prefix, owner = f"layers.{index}.", decoder.cache_layers[index]
        own = {
            name.removeprefix(prefix): torch.from_numpy(source.read())
            for name, source in sources.items()
            if name.startswith(prefix)
        }
        x, caches[owner] = torch.func.functional_call(layer, own, (x, step, caches[owner]))
    x = in_method(decoder, "finish", state, x)[0]  # [T, D]
    head = sources["embed_tokens.weight" if decoder.lm_head is None else "lm_head.weight"]
    vocab_size, width = head.shape
    block = max(1, _HEAD_BLOCK_BYTES // (4 * width))
    logits = [
        x @ torch.from_numpy(head.read_rows(start, min(start + block, vocab_size))).T
        for start in range(0, vocab_size, block)
    ]
    bias = outside.get("head_bias", torch.zeros(()))
    return decoder.adjust_logits(torch.cat(logits, dim=1) + bias), caches


def token_rows(table: TensorSource, tokens: Sequence[int]) -> torch.Tensor:
    """Read the rows of tokens, `[len(tokens), D]`; those past a table's end have its first row.

    As Gemma 3n's per-layer table does in transformers, which is shorter than the vocabulary.
    """
    rows = [token if token < table.shape[0] else 0 for token in tokens]
    return torch.cat([torch.from_numpy(table.read_rows(row, row + 1)) for row in rows])


class _Method(nn.Module):
    """A method of a module, in a form whose parameters can be swapped."""

    def __init__(self, owner: nn.Module, method: str) -> None:
        super().__init__()
        self.owner = owner
        self.method = method

    def forward(self, *arguments: Any) -> Any:
        return getattr(self.owner, self.method)(*arguments)


def in_method(
    owner: nn.Module, method: str, state: Mapping[str, torch.Tensor], *arguments: Any
) -> Any:
    """Call a method with the parameters in `state`; those it does not touch may be missing."""
    prefixed = {f"owner.{name}": tensor for name, tensor in state.items()}
    return torch.func.functional_call(_Method(owner, method), prefixed, arguments)
