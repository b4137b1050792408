"""What a recipe means for each weight: the library's recipe manager and policy decide."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from ai_edge_quantizer import algorithm_manager, qtyping, recipe_manager
from ai_edge_quantizer.algorithms.uniform_quantize import uniform_quantize_tensor
from ai_edge_quantizer.utils import tfl_flatbuffer_utils

from edgegen.convert.graph import Weight
from edgegen.convert.recipes import QuantizerRecipe, Recipe
from edgegen.errors import ConversionError

_Algorithm = algorithm_manager.AlgorithmName
# OCTAV repeats until no scale of the tensor changes any more, and a matrix product may round a
# block of rows otherwise than all of them.
_NEED_ALL_ROWS = (_Algorithm.OCTAV, _Algorithm.DECOMPOSED_HADAMARD_ROTATION)


@dataclass(frozen=True)
class WeightPlan:
    """How one weight is stored.

    Attributes:
        weight: The weight.
        op_name: The operator whose rules apply.
        op_config: The library's configuration, or `None` for float32.
        algorithm: The library's name of how scales are found.
    """

    weight: Weight
    op_name: Any
    op_config: Any
    algorithm: str

    @property
    def is_float_cast(self) -> bool:
        """Whether it is cast to float16 rather than quantized."""
        return self.op_config is not None and self.algorithm == _Algorithm.FLOAT_CASTING

    @property
    def is_rotated(self) -> bool:
        """Whether the graph has to rotate what meets it."""
        return self.op_config is not None and (
            self.algorithm == _Algorithm.DECOMPOSED_HADAMARD_ROTATION
        )

    @property
    def rotation_size(self) -> int:
        """Columns that are rotated together: the largest power of 2 that divides a row."""
        return math.gcd(self.weight.shape[-1], 2**30)

    @property
    def needs_all_rows(self) -> bool:
        """Whether its rows can be stored only all at once."""
        return self.op_config is not None and self.algorithm in _NEED_ALL_ROWS

    @property
    def bits(self) -> int:
        """Stored bits of each value."""
        return 32 if self.op_config is None else int(self.op_config.weight_tensor_config.num_bits)

    @property
    def block_size(self) -> int:
        """Columns that share a scale; 0 for one scale a row."""
        if self.op_config is None or self.is_float_cast:
            return 0
        granularity = self.op_config.weight_tensor_config.granularity
        return int(uniform_quantize_tensor.extract_block_size_from_granularity(granularity))

    @property
    def nbytes(self) -> int:
        """Size of the stored data."""
        return math.ceil(math.prod(self.weight.shape) * self.bits / 8)

    @property
    def scale_shape(self) -> tuple[int, ...] | None:
        """`[rows]`, `[rows, columns / block]`, or `None` for floats."""
        if self.op_config is None or self.is_float_cast:
            return None
        rows = self.weight.shape[0]
        columns = math.prod(self.weight.shape[1:])
        return (rows, columns // self.block_size) if self.block_size else (rows,)


def plan_weights(model: Any, weights: list[Weight], recipe: Recipe) -> list[WeightPlan]:
    """Ask the library what `recipe` means for each weight.

    Raises:
        ConversionError: one weight would be stored in two ways, or its columns do not fill
            whole blocks; for a strict recipe also if a pattern matches no weight, or the library
            does not store a weight as the recipe asks.
    """
    manager = recipe_manager.RecipeManager()
    entries = recipe.quantizer_recipe()
    if entries:
        manager.load_quantization_recipe(entries)
    if recipe.is_strict:
        _require_used(entries, weights)
    plans = [_plan(model, weight, manager) for weight in weights]
    if recipe.is_strict:
        for plan in plans:
            _require_as_asked(plan, entries)
    return plans


def _require_used(entries: QuantizerRecipe, weights: list[Weight]) -> None:
    names = [weight.name for weight in weights]
    for entry in entries:
        if not any(re.search(entry["regex"], name) for name in names):
            raise ConversionError(
                f"the recipe's pattern {entry['regex']!r} matches none of the model's "
                f"{len(names)} weights",
                f"a weight's name is like {names[0]!r} or {names[-1]!r}; correct the pattern or "
                "leave the entry out",
            )


def _require_as_asked(plan: WeightPlan, entries: QuantizerRecipe) -> None:
    """The library passes over an entry that it cannot follow for an operator; say so instead."""
    last = [entry for entry in entries if re.search(entry["regex"], plan.weight.name)][-1:]
    asked = [e["op_config"] for e in last if e["algorithm_key"] != _Algorithm.NO_QUANTIZE]
    if asked and plan.op_config != qtyping.OpQuantizationConfig.from_dict(asked[0]):
        raise ConversionError(
            f"ai-edge-quantizer does not store {plan.weight.name}, a weight of "
            f"{plan.op_name.value}, as the recipe's pattern {last[0]['regex']!r} asks",
            "add an entry for it after that one, such as int8 with a scale per channel",
        )


def _plan(model: Any, weight: Weight, manager: Any) -> WeightPlan:
    plans = []
    for use in weight.uses:
        subgraph = model.subgraphs[use.subgraph]
        for consumer in use.consumers:
            operator = subgraph.operators[consumer]
            code = model.operatorCodes[operator.opcodeIndex].builtinCode
            op_name = tfl_flatbuffer_utils.TFL_OP_CODE_TO_NAME[code]
            # By the parameter's name: scopes of a graph whose weights are inputs name no module.
            algorithm, config = manager.get_quantization_configs(op_name, weight.name)
            if algorithm == _Algorithm.NO_QUANTIZE:
                config = None
            plans.append(WeightPlan(weight, op_name, config, algorithm))
    first = plans[0]
    if any((p.op_config, p.algorithm) != (first.op_config, first.algorithm) for p in plans):
        raise ConversionError(
            f"the recipe stores {weight.name} in two ways, because operators of different "
            "kinds share it",
            "choose a recipe that treats the tied embedding and head alike",
        )
    if first.block_size and weight.shape[1] % first.block_size:
        raise ConversionError(
            f"{weight.name} has {weight.shape[1]} columns, which blocks of {first.block_size} "
            "do not divide",
            "choose a recipe with one scale a channel, such as dynamic_wi8_afp32",
        )
    return first
