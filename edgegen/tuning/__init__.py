"""The quality search: a recipe of several precisions for a size, or for a quality.

How much each matrix matters is measured: the KL divergence of the model's next tokens on a text
when that matrix alone is stored as each candidate (`edgegen.convert.sensitivity`). The best choice
for a budget follows from that (`edgegen.convert.allocation`), and is measured whole, beside the
uniform recipes.
"""

from edgegen.tuning.budget import Budget
from edgegen.tuning.search import RecipeQuality, Sensitivity
from edgegen.tuning.tuned import DEFAULT_TOKENS, DEFAULT_WEIGHTS, TunedWeight, Tuning, tune

__all__ = [
    "DEFAULT_TOKENS",
    "DEFAULT_WEIGHTS",
    "Budget",
    "RecipeQuality",
    "Sensitivity",
    "TunedWeight",
    "Tuning",
    "tune",
]
