"""How far apart neighbours on the ladder may be.

docs/how-to/verify.md has the measurements behind the numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgegen.convert.agreement import Agreement
from edgegen.convert.recipes import Recipe

_EXACT_COSINE = 0.9999


@dataclass(frozen=True)
class Limits:
    """How far two neighbours may be apart, beside a recipe's own `min_cosine`.

    Attributes:
        max_kl: Mean KL divergence, in nats.
        max_perplexity_change: Change of the text's perplexity, as a share of the reference's.
        max_cache_diff: Above that share of its norm a layer's cache counts as departed.
    """

    max_kl: float
    max_perplexity_change: float
    max_cache_diff: float


# Float models differ from torch by the order of sums alone, int8 ones also by the rounding of
# activations. Each number stands between right models and wrong ones, as far as there is room.
LIMITS = {
    # Right: KL 2e-12 (28 random layers 9e-7), perplexity 0.06 %, caches 3e-4.
    # Wrong: another GELU KL 3e-8, a rotary base 1 % off 6e-8 to 2e-5, caches 4e-3.
    "float": Limits(max_kl=1e-6, max_perplexity_change=0.001, max_cache_diff=1e-3),
    # Right, of few layers: KL 6e-7. Caches are rounded by up to 5e-4.
    "float, float16 caches": Limits(max_kl=1e-5, max_perplexity_change=0.002, max_cache_diff=2e-3),
    # Right: KL 0.003, perplexity 2 %, caches 0.04.
    # Wrong: GELU for SiLU KL 0.03, perplexity 2 to 8 %, caches 0.11; another rotary base in one
    # layer caches 0.2 to 0.8.
    "int8": Limits(max_kl=0.02, max_perplexity_change=0.1, max_cache_diff=0.1),
}


def limits_of(recipe: Recipe, kv_cache_dtype: str = "float32") -> Limits:
    """Return the limits of models of that recipe, with such caches."""
    if recipe.min_cosine < _EXACT_COSINE:
        return LIMITS["int8"]
    return LIMITS["float" if kv_cache_dtype == "float32" else "float, float16 caches"]


def first_exceeded(recipe: Recipe, found: Agreement, kv_cache_dtype: str = "float32") -> str:
    """Say which limit is passed; nothing if none is."""
    limits = limits_of(recipe, kv_cache_dtype)
    change = abs(found.perplexity / found.reference_perplexity - 1)
    if not found.cosine >= recipe.min_cosine:
        return f"cosine {found.cosine:.6f} of the logits, expected at least {recipe.min_cosine}"
    if not found.kl <= limits.max_kl:
        return f"KL {found.kl:.2g} nats, expected at most {limits.max_kl:g}"
    if not change <= limits.max_perplexity_change:
        return (
            f"perplexity {found.perplexity:.4g} against {found.reference_perplexity:.4g}, "
            f"expected within {limits.max_perplexity_change:.1%}"
        )
    return ""
