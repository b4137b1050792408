"""What a group of weights may be stored as: entries of recipe files, under short names.

A name says the type, and then what is not usual: `int8` has a scale for each channel from the
largest weight, `int4_block32_octav` one for each 32 columns by OCTAV.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ai_edge_quantizer import algorithm_manager, qtyping, recipe_manager

from edgegen.convert.graph import Weight
from edgegen.convert.plan import WeightPlan
from edgegen.convert.recipe_file import exact_pattern, quantizer_entries, with_defaults
from edgegen.errors import ConversionError, did_you_mean

_BLOCKS = tuple(f"block{size}" for size in (32, 64, 128, 256))

# Name -> an entry of a recipe file without its pattern.
CANDIDATES: dict[str, dict[str, str]] = {
    "int4": {"weights": "int4"},
    "int4_octav": {"weights": "int4", "algorithm": "octav"},
    "int4_mse": {"weights": "int4", "algorithm": "mse"},
    **{f"int4_{block}": {"weights": "int4", "granularity": block} for block in _BLOCKS},
    **{
        f"int4_{block}_octav": {"weights": "int4", "granularity": block, "algorithm": "octav"}
        for block in _BLOCKS
    },
    "int8": {"weights": "int8"},
    "float16": {"weights": "float16"},
    "float32": {"weights": "float32"},
}


def check_candidates(names: Sequence[str]) -> None:
    """Refuse names that are unknown or given twice.

    Raises:
        ConversionError: there is one.
    """
    for name, count in Counter(names).items():
        if name not in CANDIDATES:
            raise ConversionError(
                f"there is no way {name!r} to store weights", did_you_mean(name, CANDIDATES)
            )
        if count > 1:
            raise ConversionError(
                f"{name} is given {count} times as a way to store weights", "name it once"
            )


def plan_as(
    candidate: str, name: str, shape: tuple[int, ...], operators: Sequence[Any]
) -> WeightPlan | None:
    """Plan a matrix as that candidate, for all operators that it meets.

    Returns:
        The plan; `None` where blocks do not fill its rows, or ai-edge-quantizer does not store
        weights of one of the operators so.
    """
    (entry,) = quantizer_entries([with_defaults({"pattern": ".*", **CANDIDATES[candidate]})])
    manager = recipe_manager.RecipeManager()
    manager.load_quantization_recipe([entry])
    asked = None
    if entry["algorithm_key"] != algorithm_manager.AlgorithmName.NO_QUANTIZE:
        asked = qtyping.OpQuantizationConfig.from_dict(entry["op_config"])
    for operator in operators:
        algorithm, config = manager.get_quantization_configs(operator, name)
        if algorithm == algorithm_manager.AlgorithmName.NO_QUANTIZE:
            config = None
        if config != asked:
            return None
    plan = WeightPlan(Weight(name, shape, 0, ()), operators[0], config, algorithm)
    return None if plan.block_size and shape[1] % plan.block_size else plan


def recipe_entries(chosen: Mapping[str, str]) -> list[dict[str, str]]:
    """Write for each weight's name its candidate as entries of a recipe file.

    What most weights are comes first, for all; then an entry for each that is something else.
    """
    usual = Counter(chosen.values()).most_common(1)[0][0]
    others = {name: candidate for name, candidate in chosen.items() if candidate != usual}
    return [
        {"pattern": ".*", **CANDIDATES[usual]},
        *({"pattern": exact_pattern(n), **CANDIDATES[c]} for n, c in others.items()),
    ]
