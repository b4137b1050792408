"""The causal mask, computed in the graph from positions."""

from __future__ import annotations

import torch

# Large enough that exp() of a masked score is zero in float32 and float16, small enough
# that float16 holds it.
MASKED = -1e4


def causal_mask(input_pos: torch.Tensor, kv_cache_len: int) -> torch.Tensor:
    """Return the additive mask `[1, 1, T, S]`: 0 where a cache slot is visible, else -1e4.

    Slot `s` is visible from position `p` when `s <= p`. What padding rows left in later
    slots is thereby hidden, until real tokens overwrite it.
    """
    slots = torch.arange(kv_cache_len, dtype=torch.int32).reshape(1, 1, 1, -1)
    visible = slots <= input_pos.reshape(1, 1, -1, 1)
    return torch.where(visible, torch.tensor(0.0), torch.tensor(MASKED))
