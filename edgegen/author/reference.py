"""The authored model in float32, one layer in memory at a time: what a bundle must agree with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from edgegen.author.layers import causal_mask, rope_angles
from edgegen.author.model import AuthoredModel
from edgegen.author.tensor_source import TensorSource

_HEAD_BLOCK_BYTES = 32_000_000


@torch.no_grad()
def reference_logits(
    model: AuthoredModel,
    tokens: Sequence[int],
    sources: Mapping[str, TensorSource] | None = None,
) -> torch.Tensor:
    """Compute the logits after each of `tokens` in one pass, `[T, V]` float32.

    Only the embedding rows in use, one decoder layer and a block of the head are in memory
    at any time, so that a model larger than memory can be checked.

    Args:
        model: The model.
        tokens: Token ids.
        sources: Tensors to use instead of the model's own, by parameter name.
    """
    config, decoder = model.config, model.decoder
    sources = sources or model.sources
    count = len(tokens)
    input_pos = torch.arange(count, dtype=torch.int32)
    angles = rope_angles(input_pos, decoder.inv_freq)
    mask = causal_mask(input_pos, count)
    embedding = sources["embed_tokens.weight"]
    rows = [torch.from_numpy(embedding.read_rows(token, token + 1)) for token in tokens]
    x = torch.cat(rows)[None]  # [1, T, D]
    for index, layer in enumerate(decoder.layers):
        prefix = f"layers.{index}."
        cache = (
            torch.zeros(1, config.num_key_value_heads, count, config.head_dim),
            torch.zeros(1, config.num_key_value_heads, config.head_dim, count),
        )
        x, _ = torch.func.functional_call(
            layer,
            {
                name.removeprefix(prefix): torch.from_numpy(entry.read())
                for name, entry in sources.items()
                if name.startswith(prefix)
            },
            (x, angles, mask, input_pos[0], cache),
        )
    norm = {"weight": torch.from_numpy(sources["norm.weight"].read())}
    x = torch.func.functional_call(decoder.norm, norm, (x,))[0]  # [T, D]
    head = embedding if decoder.lm_head is None else sources["lm_head.weight"]
    step = max(1, _HEAD_BLOCK_BYTES // (4 * config.hidden_size))
    return torch.cat(
        [
            x @ torch.from_numpy(head.read_rows(start, min(start + step, config.vocab_size))).T
            for start in range(0, config.vocab_size, step)
        ],
        dim=1,
    )
