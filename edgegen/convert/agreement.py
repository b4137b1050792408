"""How near two models are on a text: their logits, and what they think of the text itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgegen.convert.parity import Logits, compare_logits

_MOST_NATS = 700.0  # of more, no float holds the perplexity


@dataclass(frozen=True)
class Agreement:
    """Logits `[T, V]` after each token of a text, against a reference.

    Attributes:
        tokens: T.
        max_abs_diff: Largest difference of a logit.
        mean_abs_diff: Mean difference of a logit.
        cosine: Mean over positions of the cosine between the centred logits.
        kl: Mean KL divergence of the reference's distribution from the other, in nats.
        top1_agreement: Share of positions whose highest logit is the same token.
        reference_perplexity: Perplexity of the text to the reference.
        perplexity: Perplexity of the text to the other.
        first_diverging_token: The first position after which the likeliest token is another;
            `None` if it is always the same.
    """

    tokens: int
    max_abs_diff: float
    mean_abs_diff: float
    cosine: float
    kl: float
    top1_agreement: float
    reference_perplexity: float
    perplexity: float
    first_diverging_token: int | None


def compare_on_text(reference: Logits, found: Logits, tokens: Sequence[int]) -> Agreement:
    """Compare the logits after each of `tokens`."""
    parity = compare_logits(reference, found)
    parted = np.flatnonzero(reference.argmax(1) != found.argmax(1))
    return Agreement(
        tokens=parity.tokens,
        max_abs_diff=parity.max_abs_diff,
        mean_abs_diff=float(np.abs(reference.astype(np.float64) - found).mean()),
        cosine=parity.cosine,
        kl=parity.kl,
        top1_agreement=parity.top1_agreement,
        reference_perplexity=perplexity(reference, tokens),
        perplexity=perplexity(found, tokens),
        first_diverging_token=int(parted[0]) if len(parted) else None,
    )


def worst_position(reference: Logits, found: Logits) -> int:
    """Return the position whose logits, of `[T, V]`, are farthest from the reference's."""
    distances = np.linalg.norm(reference - found, axis=1) / np.linalg.norm(reference, axis=1)
    return int(np.nan_to_num(distances, nan=np.inf).argmax())


def perplexity(logits: Logits, tokens: Sequence[int]) -> float:
    """Return the perplexity of `tokens[1:]`, of which each has the logits after the one before."""
    a: npt.NDArray[np.float64] = logits[:-1].astype(np.float64)
    a = a - a.max(1, keepdims=True)
    chosen = a[np.arange(len(a)), list(tokens[1:])]
    nats = float((np.log(np.exp(a).sum(1)) - chosen).mean())
    return math.exp(min(nats, _MOST_NATS))
