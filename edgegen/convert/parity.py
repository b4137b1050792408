"""How near two models' logits are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Logits = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Parity:
    """Agreement of logits `[T, V]` with a reference.

    Attributes:
        tokens: T, the number of positions compared.
        max_abs_diff: Largest difference of a logit.
        cosine: Mean over positions of the cosine between the centred logits.
        top1_agreement: Share of positions whose highest logit is the same token.
        kl: Mean KL divergence of the reference's distribution from the other, in nats.
    """

    tokens: int
    max_abs_diff: float
    cosine: float
    top1_agreement: float
    kl: float


def compare_logits(reference: Logits, found: Logits) -> Parity:
    """Compare logits `[T, V]`, position by position."""
    a, b = reference.astype(np.float64), found.astype(np.float64)
    centred_a, centred_b = a - a.mean(1, keepdims=True), b - b.mean(1, keepdims=True)
    norms = np.linalg.norm(centred_a, axis=1) * np.linalg.norm(centred_b, axis=1)
    log_a, log_b = _log_softmax(a), _log_softmax(b)
    return Parity(
        tokens=len(a),
        max_abs_diff=float(np.abs(a - b).max()),
        cosine=float(((centred_a * centred_b).sum(1) / norms).mean()),
        top1_agreement=float((a.argmax(1) == b.argmax(1)).mean()),
        kl=float((np.exp(log_a) * (log_a - log_b)).sum(1).mean()),
    )


def _log_softmax(logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    shifted = logits - logits.max(1, keepdims=True)
    normalized: npt.NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    return normalized
