"""Scaled dot-product attention over the whole KV cache."""

from __future__ import annotations

import torch

from edgegen.author.layers.composites import bounded, is_enabled, nothing_of
from edgegen.author.layers.mask import MASKED
from edgegen.contract import CACHE_UPDATE, RUNTIME_BMM, SDPA


def sdpa(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    mask: torch.Tensor,
    scale: float,
    *,
    logit_softcapping: float | None = None,
    sinks: torch.Tensor | None = None,
    params: torch.Tensor | None = None,
) -> torch.Tensor:
    """Attend from `q [B, T, N, H]` to `k [B, K, S, H]` and `v [B, K, H, S]`.

    Args:
        q: Rotated queries.
        k: The updated K cache.
        v: The updated V cache.
        mask: Additive, `[1, 1 or N, T, S]`.
        scale: Multiplies the scores, usually `H ** -0.5`.
        logit_softcapping: Scores are bent to stay below it, as in Gemma 2.
        sinks: `[N]`, the score of a slot that every query sees and that holds nothing, as
            in GPT-OSS.
        params: int32 `[1, 1, 1, 7]`, how much of the cache is filled; only for kernels that stop
            there, `None` where K and V are no cache.

    Returns:
        `[B, T, N, H]`.
    """
    plain = logit_softcapping is None and sinks is None
    if is_enabled(SDPA) and plain and mask.shape[1] == 1:
        return _sdpa_composite(q, k, v, mask, scale)
    batch, tokens, heads, head_dim = q.shape
    kv_heads = k.shape[1]
    group = heads // kv_heads
    # [B, T, N, H] -> [B, N, T, H] -> [B, K, N/K*T, H]: the query heads that share a KV head
    # become rows of one product, and no tensor has more than four dimensions (the GPU
    # delegates refuse five).
    rows = (q * scale).transpose(1, 2).reshape(batch, kv_heads, group * tokens, head_dim)
    scores = _scores(rows, k, params)  # [B, K, N/K*T, S]
    if logit_softcapping is not None:
        scores = torch.tanh(scores / logit_softcapping) * logit_softcapping
    scores = scores.reshape(batch, heads, tokens, -1) + mask  # [B, N, T, S]
    if is_enabled(RUNTIME_BMM) and params is not None:
        # A kernel that stops at the end of the cache's content leaves anything at all behind it.
        scores = torch.where(mask > MASKED / 2, scores, torch.tensor(MASKED))
    if sinks is None:
        weights = torch.softmax(scores, dim=-1)
    else:
        weights = _softmax_with_sinks(scores, sinks)
    weights = weights.reshape(batch, kv_heads, group * tokens, -1)
    output = _weighted(weights, v, params)  # [B, K, N/K*T, H]
    attended: torch.Tensor = output.reshape(batch, heads, tokens, -1).transpose(1, 2)
    return attended


def _scores(rows: torch.Tensor, k: torch.Tensor, params: torch.Tensor | None) -> torch.Tensor:
    """Multiply `rows [B, K, R, H]` with `k [B, K, S, H]`: `[B, K, R, S]`."""
    if params is None or not is_enabled(RUNTIME_BMM):
        return _bmm(rows, k)

    def multiply(rows: torch.Tensor, k: torch.Tensor, params: torch.Tensor) -> torch.Tensor:
        return _bmm(rows + nothing_of(params), k)

    return bounded(RUNTIME_BMM, _runtime_bmm_attributes(False), multiply, rows, k, params)


def _weighted(weights: torch.Tensor, v: torch.Tensor, params: torch.Tensor | None) -> torch.Tensor:
    """Multiply `weights [B, K, R, S]` with `v [B, K, H, S]`: `[B, K, R, H]`."""
    if params is None or not is_enabled(RUNTIME_BMM):
        return _bmm(weights, v)

    def multiply(weights: torch.Tensor, v: torch.Tensor, params: torch.Tensor) -> torch.Tensor:
        return _bmm(weights, v) + nothing_of(params)

    return bounded(RUNTIME_BMM, _runtime_bmm_attributes(True), multiply, weights, v, params)


def _runtime_bmm_attributes(over_slots: bool) -> dict[str, bool]:
    """Describe a product with the cache, which sums over its slots or has them as columns.

    The kernel must know whether the cache comes from `odml.cache_update`, whose layout differs.
    """
    return {
        "is_global": False,
        "is_src": over_slots,
        "rhs_cache_update": is_enabled(CACHE_UPDATE),
    }


def _bmm(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Multiply `[B, K, R, X]` with the transposed `[B, K, Y, X]`: `[B, K, R, Y]`."""
    # Imported when run: authoring alone should not pay for the converter's memory.
    from litert_torch.generative.custom_ops.bmm_4d import bmm_4d

    product: torch.Tensor = bmm_4d(a, b)
    return product


def _softmax_with_sinks(scores: torch.Tensor, sinks: torch.Tensor) -> torch.Tensor:
    """Normalize `[B, N, T, S]` together with one more score a head, which is then dropped."""
    batch, heads, tokens, _ = scores.shape
    column = sinks.reshape(1, heads, 1, 1).expand(batch, heads, tokens, 1)
    return torch.softmax(torch.cat([scores, column], dim=-1), dim=-1)[..., :-1]


def _sdpa_composite(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor, scale: float
) -> torch.Tensor:
    """Draw the runtimes' fused boundary, whose K and V are `[B, S, N, H]`.

    CPU and GPU kernels map query heads to KV heads differently, so K and V are repeated to
    N heads first: slower, but right on both.
    """
    group = q.shape[2] // k.shape[1]
    k = _repeat_heads(k.permute(0, 2, 1, 3), group)  # [B, K, S, H] -> [B, S, N, H]
    v = _repeat_heads(v.permute(0, 3, 1, 2), group)  # [B, K, H, S] -> [B, S, N, H]

    def attend(
        q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        attended = torch.nn.functional.scaled_dot_product_attention(
            q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), attn_mask=mask, scale=scale
        )
        return attended.transpose(1, 2)

    return bounded(SDPA, {"scale": scale}, attend, q, k, v, mask)


def _repeat_heads(x: torch.Tensor, times: int) -> torch.Tensor:
    """Repeat each head of `[B, S, K, H]`, without the fifth dimension of repeat_interleave."""
    # Slices, since the converter does not take a split into one part.
    heads = [x[:, :, i : i + 1] for i in range(x.shape[2])]  # each [B, S, 1, H]
    return torch.cat([head for head in heads for _ in range(times)], dim=2)
