"""Quantization recipes, under ai-edge-quantizer's names.

How a name reads: `dynamic` computes in int8 with activations quantized at run time,
`weight_only` stores integers and computes in float; `wi8` is int8 weights; `b32` one scale
for each 32 columns, else one for each output channel; `hr` weights rotated by a Hadamard
matrix; `octav` and `mse` scales that clip the largest weights; `mixed48` and `mixed28` int8
for the embedding and the head, int4 or int2 for the rest; `afp32` float32 activations between
operations; `static` and `ai8` activations with fixed scales, in matrix products alone
(`calibrate.py`). A recipe is one entry of `RECIPES`: the command line, the documentation and the
tests read it from there. A user's own comes from a JSON file (`recipe_file.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
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
        delegates: Where the engines run it right, as measured (README.md has the table); of a
            user's own recipe nothing is measured.
        min_cosine: Least cosine of the logits with torch's on the same stored weights; int8
            compute also rounds the activations.
        is_strict: Whether each entry must match a weight, and each weight be stored as its last
            entry says. Otherwise what the library does not take for an operator falls back to
            an earlier entry, at last to float32.
        activation_bits: Of activations whose scales a calibration text fixes ahead of time; `None`
            where there is nothing to calibrate.
    """

    name: str
    summary: str
    quantizer_recipe: Callable[[], QuantizerRecipe]
    delegates: tuple[str, ...]
    min_cosine: float
    is_strict: bool = False
    activation_bits: int | None = None


# The embedding and the head, by the names that decoders and encoders here give them.
_VOCABULARY = r"(^|\.)(embed_tokens|lm_head)\."


def _library(name: str, **options: str) -> Callable[[], QuantizerRecipe]:
    """Return a function of ai-edge-quantizer's `recipe` module, called with `options`."""

    def make() -> QuantizerRecipe:
        from ai_edge_quantizer import recipe

        made: QuantizerRecipe = getattr(recipe, name)(**options)
        return made

    return make


def _mixed(rest: Callable[[], QuantizerRecipe]) -> Callable[[], QuantizerRecipe]:
    """Store the vocabulary's matrices as int8 per channel; a later entry goes before."""
    vocabulary = _library("dynamic_wi8c_afp32", regex=_VOCABULARY)
    return lambda: [*rest(), *vocabulary()]


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
            "int4 weights in blocks of 32, int8 compute; the usual choice where int8 is too large",
            _library("dynamic_wi4b32_afp32"),
            ("cpu", "gpu"),
            0.99,
        ),
        Recipe(
            "dynamic_wi4b64_afp32",
            "int4 weights in blocks of 64, int8 compute",
            _library("dynamic_wi4b64_afp32"),
            ("cpu", "gpu"),
            0.99,
        ),
        Recipe(
            "dynamic_wi4_afp32",
            "int4 weights per channel, int8 compute",
            _library("dynamic_wi4_afp32"),
            ("cpu", "gpu"),
            0.99,
        ),
        Recipe(
            "weight_only_wi4_afp32",
            "int4 weights per channel, float compute",
            _library("weight_only_wi4_afp32"),
            ("cpu",),
            0.99999,
        ),
        Recipe(
            "dynamic_wi4_octav_afp32",
            "int4 weights per channel with scales by OCTAV, int8 compute",
            _library("dynamic_wi4_afp32", algorithm_key="OCTAV"),
            ("cpu", "gpu"),
            0.99,
        ),
        Recipe(
            "dynamic_wi4b32_octav_afp32",
            "int4 weights in blocks of 32 with scales by OCTAV, int8 compute",
            _library("dynamic_wi4b32_afp32", algorithm_key="OCTAV"),
            ("cpu", "gpu"),
            0.99,
        ),
        Recipe(
            "dynamic_wi4_mse_afp32",
            "int4 weights per channel with scales of least square error",
            _library("dynamic_wi4_afp32", algorithm_key="MSE"),
            ("cpu", "gpu"),
            0.99,
        ),
        Recipe(
            "dynamic_wi8c_hr_afp32",
            "rotated int8 weights per channel, int8 compute; nearest of the int8 ones",
            _library("dynamic_wi8c_hr_afp32"),
            ("cpu", "gpu"),
            0.99,
        ),
        Recipe(
            "dynamic_wi4c_hr_afp32",
            "rotated int4 weights per channel, int8 compute",
            _library("dynamic_wi4c_hr_afp32"),
            ("cpu", "gpu"),
            0.99,
        ),
        Recipe(
            "dynamic_mixed48_afp32",
            "int8 embedding and head, int4 per channel for the rest",
            _mixed(_library("dynamic_wi4_afp32")),
            ("cpu", "gpu"),
            0.99,
        ),
        Recipe(
            "dynamic_mixed48_b32_afp32",
            "int8 embedding and head, int4 in blocks of 32 for the rest",
            _mixed(_library("dynamic_wi4b32_afp32")),
            ("cpu", "gpu"),
            0.99,
        ),
        Recipe(
            "dynamic_mixed48_b32_octav_afp32",
            "int8 embedding and head, int4 in blocks of 32 with scales by OCTAV",
            _mixed(_library("dynamic_wi4b32_afp32", algorithm_key="OCTAV")),
            ("cpu", "gpu"),
            0.99,
        ),
        Recipe(
            "dynamic_mixed48_hr_afp32",
            "int8 embedding and head, rotated int4 per channel for the rest",
            _mixed(_library("dynamic_wi4c_hr_afp32")),
            ("cpu", "gpu"),
            0.99,
        ),
        Recipe(
            "dynamic_mixed28_octav_afp32",
            "int8 embedding and head, int2 per channel for the rest; smallest, and far off",
            _mixed(_library("dynamic_wi2c_afp32", algorithm_key="OCTAV")),
            ("cpu", "gpu"),
            0.99,
        ),
        Recipe(
            "static_wi8_ai8",
            "int8 weights, products of int8 activations with scales from a --calibration text",
            _library("dynamic_wi8_afp32"),
            ("cpu",),
            0.9,
            activation_bits=8,
        ),
        Recipe(
            "static_wi8_ai16",
            "the same with int16 activations: exacter, and slow on a CPU",
            _library("dynamic_wi8_afp32"),
            ("cpu",),
            0.99,
            activation_bits=16,
        ),
    )
}


def find_recipe(name: str) -> Recipe:
    """Return the recipe of that name, or the one in the JSON file of that path.

    Raises:
        ConversionError: there is none, or the file holds none.
    """
    if name.endswith(".json"):
        return _from_file(Path(name))
    if name not in RECIPES:
        raise ConversionError(f"unknown recipe {name!r}", did_you_mean(name, RECIPES))
    return RECIPES[name]


def _from_file(path: Path) -> Recipe:
    from edgegen.convert.recipe_file import quantizer_entries, read_recipe_file

    entries, computes_in_int8 = read_recipe_file(path)
    return Recipe(
        name=path.stem,
        summary=f"your own, from {path}",
        quantizer_recipe=lambda: quantizer_entries(entries),
        delegates=(),
        min_cosine=0.99 if computes_in_int8 else 0.99999,
        is_strict=True,
    )
