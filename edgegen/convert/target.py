"""Which delegates an export is for, and what that rules out."""

from __future__ import annotations

import re
from collections.abc import Sequence

from edgegen.contract import CACHE_UPDATE, RUNTIME_BMM
from edgegen.convert.recipes import RECIPES, Recipe
from edgegen.errors import ConversionError

# The graph is the same for all: plain operations in layouts that every delegate takes
# (docs/architecture.md). What runs on one alone is a way to store weights, or a composite.
TARGETS = {"cpu": ("cpu",), "gpu": ("gpu",), "both": ("cpu", "gpu")}


def check_target(
    target: str, recipe: Recipe, composites: Sequence[str], weights: Sequence[str]
) -> None:
    """Refuse what does not run right on every delegate of a target.

    Args:
        target: A key of `TARGETS`.
        recipe: How weights are stored. A user's own must compute with all weights in int8 to be
            for the GPU, whose delegates abort on float embeddings and on weight-only int8.
        composites: Names of the boundaries to draw.
        weights: Names of what is stored.

    Raises:
        ConversionError: the recipe or a composite does not run there, or the target is unknown.
    """
    if target not in TARGETS:
        raise ConversionError(
            f"there is no target {target!r}", f"the targets are {', '.join(TARGETS)}"
        )
    if recipe.is_strict:
        if "gpu" in TARGETS[target]:
            _require_integers(target, recipe, weights)
    else:
        _require_measured(target, recipe)
    # Of the two, the GPU delegates take neither without the other.
    alone = {CACHE_UPDATE, RUNTIME_BMM} & set(composites)
    if "gpu" in TARGETS[target] and len(alone) == 1:
        (name,) = alone
        (other,) = {CACHE_UPDATE, RUNTIME_BMM} - alone
        raise ConversionError(
            f"the GPU delegate refuses {name} without {other}, but the target is {target}",
            "draw both or neither",
        )


def _require_measured(target: str, recipe: Recipe) -> None:
    missing = [name for name in TARGETS[target] if name not in recipe.delegates]
    if missing:
        fitting = [r.name for r in RECIPES.values() if set(TARGETS[target]) <= set(r.delegates)]
        raise ConversionError(
            f"the recipe {recipe.name} does not run right on the {missing[0].upper()} delegate, "
            f"but the target is {target}",
            f"recipes for it: {', '.join(fitting)}",
        )


def _require_integers(target: str, recipe: Recipe, weights: Sequence[str]) -> None:
    entries = recipe.quantizer_recipe()
    for name in weights:
        last = [entry for entry in entries if re.search(entry["regex"], name)][-1:]
        precision = last[0]["op_config"].get("compute_precision") if last else None
        if precision != "INTEGER":
            raise ConversionError(
                f"with the recipe {recipe.name} the model computes with {name} in floats, which "
                f"GPU delegates do not run right, but the target is {target}",
                "store it as int8 or int4 in the mode dynamic",
            )
