"""An authored decoder and transformers' own class, given the same tokens in the same calls."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

import edgegen
from edgegen.author import AuthoredModel
from tests.hf import save_checkpoint

KV_CACHE_LEN = 64
TOKENS = 40
# How one text of 40 tokens may reach the model: at once, in chunks, token by token.
CALLS: dict[str, list[int]] = {
    "one go": [TOKENS],
    "chunks": [16, 8, 13, 3],
    "token by token": [1] * TOKENS,
}


@torch.no_grad()
def our_logits(model: AuthoredModel, tokens: torch.Tensor, calls: Sequence[int]) -> torch.Tensor:
    """Run `tokens [1, T]` in calls of the given lengths; return all logits `[1, T, V]`."""
    state, caches = model.load_state(), model.module.empty_caches(KV_CACHE_LEN)
    outputs, start = [], 0
    for length in calls:
        positions = torch.arange(start, start + length, dtype=torch.int32)
        logits, caches = torch.func.functional_call(
            model.module,
            state,
            (tokens[:, start : start + length].int(), positions, caches),
            {"logits": "all"},
        )
        outputs.append(logits)
        start += length
    return torch.cat(outputs, dim=1)


@torch.no_grad()
def their_logits(model: Any, tokens: torch.Tensor, calls: Sequence[int]) -> torch.Tensor:
    """Do the same with transformers' class and its own cache."""
    outputs, start, cache = [], 0, None
    for length in calls:
        found = model(
            input_ids=tokens[:, start : start + length], past_key_values=cache, use_cache=True
        )
        cache = found.past_key_values
        outputs.append(found.logits)
        start += length
    return torch.cat(outputs, dim=1)


def random_tokens(vocab_size: int, seed: int = 0, count: int = TOKENS) -> torch.Tensor:
    return torch.randint(0, vocab_size, (1, count), generator=torch.Generator().manual_seed(seed))


def assert_equal_logits(
    folder: Path, config: dict[str, Any], *, seed: int = 0, calls: Sequence[str] = tuple(CALLS)
) -> AuthoredModel:
    """Make a random checkpoint, author it, and compare the logits of each way to call."""
    theirs = save_checkpoint(folder, config, seed=seed)
    ours = edgegen.author_model(edgegen.open_checkpoint(folder))
    tokens = random_tokens(ours.config.vocab_size, seed)
    for name in calls:
        # A copy, because some rotary embeddings remember the longest text they have seen.
        expected = their_logits(copy.deepcopy(theirs), tokens, CALLS[name])
        found = our_logits(ours, tokens, CALLS[name])
        assert expected.std() > 0.05, "the random model says the same everywhere"
        torch.testing.assert_close(
            found, expected, atol=1e-4, rtol=1e-4, msg=lambda text, name=name: f"{name}: {text}"
        )
    return ours
