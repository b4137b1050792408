"""Quantization recipes, under ai-edge-quantizer's names.

How a name reads: `dynamic` computes in int8 with activations quantized at run time,
`weight_only` stores integers and computes in float; `wi8` is int8 weights; `b32` one scale
for each 32 columns, else one for each output channel; `afp32` float32 activations between
operations. A recipe is one entry of `RECIPES`: the command line, the documentation and the
tests read it from there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edgegen.errors import ConversionError, did_you_mean

QuantizerRecipe = list[dict[str, Any]]


@dataclass(frozen=True)
class Recipe:
    """How weights are stored.

    Attributes:
        name: The recipe's name.
        summary: What a user reads in `edgegen list recipes`.
        quantizer_recipe: Makes ai-edge-quantizer's form of it; an empty list stores float32.
        delegates: Where the engines run it right, as measured (README.md has the table).
        min_cosine: Least cosine of the logits with torch's on the same stored weights; int8
            compute also rounds the activations.
    """

    name: str
    summary: str
    quantizer_recipe: Callable[[], QuantizerRecipe]
    delegates: tuple[str, ...]
    min_cosine: float


def _library(name: str) -> Callable[[], QuantizerRecipe]:
    def make() -> QuantizerRecipe:
        from ai_edge_quantizer import recipe

        made: QuantizerRecipe = getattr(recipe, name)()
        return made

    return make


def _float16() -> QuantizerRecipe:
    from ai_edge_quantizer import algorithm_manager, qtyping, recipe_manager

    manager = recipe_manager.RecipeManager()
    manager.add_quantization_config(
        regex=".*",
        operation_name=qtyping.TFLOperationName.ALL_SUPPORTED,
        algorithm_key=algorithm_manager.AlgorithmName.FLOAT_CASTING,
        op_config=qtyping.OpQuantizationConfig(
            weight_tensor_config=qtyping.TensorQuantizationConfig(
                num_bits=16, dtype=qtyping.TensorDataType.FLOAT
            ),
            compute_precision=qtyping.ComputePrecision.FLOAT,
            explicit_dequantize=True,
        ),
    )
    made: QuantizerRecipe = manager.get_quantization_recipe()
    return made


RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe("none", "float32 weights, exact; 4 bytes a weight", list, ("cpu",), 0.99999),
        Recipe(
            "fp16", "float16 weights, float compute; 2 bytes a weight", _float16, ("cpu",), 0.99999
        ),
        Recipe(
            "dynamic_wi8_afp32",
            "int8 weights per channel, int8 compute; the usual choice",
            _library("dynamic_wi8_afp32"),
            ("cpu", "gpu"),
            0.99,
        ),
        Recipe(
            "weight_only_wi8_afp32",
            "int8 weights per channel, float compute: exacter, slower",
            _library("weight_only_wi8_afp32"),
            ("cpu",),
            0.99999,
        ),
        Recipe(
            "dynamic_wi4b32_afp32",
            "int4 weights in blocks of 32, int8 compute; smallest",
            _library("dynamic_wi4b32_afp32"),
            ("cpu", "gpu"),
            0.99,
        ),
    )
}


def find_recipe(name: str) -> Recipe:
    """Return the recipe of that name.

    Raises:
        ConversionError: there is none.
    """
    if name not in RECIPES:
        raise ConversionError(f"unknown recipe {name!r}", did_you_mean(name, RECIPES))
    return RECIPES[name]
