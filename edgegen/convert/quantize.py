"""What a recipe does to each weight, in ai-edge-quantizer's terms and arithmetic.

The library decides (its recipe manager and policy) and computes (its own functions, a block
of rows at a time); only the order is ours: the graph is marked first, while the data is
still on disk, and the data follows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema
from ai_edge_quantizer import algorithm_manager, qtyping, recipe_manager
from ai_edge_quantizer.algorithms.uniform_quantize import (
    naive_min_max_quantize,
    uniform_quantize_tensor,
)
from ai_edge_quantizer.algorithms.utils import common_utils
from ai_edge_quantizer.transformations import (
    dequant_insert,
    quantize_tensor,
    transformation_utils,
)
from ai_edge_quantizer.utils import tfl_flatbuffer_utils

from edgegen.convert.graph import Weight
from edgegen.convert.recipes import Recipe
from edgegen.errors import ConversionError


@dataclass(frozen=True)
class WeightPlan:
    """How one weight is stored.

    Attributes:
        weight: The weight.
        op_name: The operator whose rules apply.
        op_config: The library's configuration, or `None` for float32.
        is_float_cast: Whether it is cast to float16 rather than quantized.
    """

    weight: Weight
    op_name: Any
    op_config: Any
    is_float_cast: bool

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
        rows, columns = self.weight.shape
        return (rows, columns // self.block_size) if self.block_size else (rows,)


def plan_weights(model: Any, weights: list[Weight], recipe: Recipe) -> list[WeightPlan]:
    """Ask the library what `recipe` means for each weight.

    Raises:
        ConversionError: one weight would be stored in two ways, or its columns do not fill
            whole blocks.
    """
    manager = recipe_manager.RecipeManager()
    quantizer_recipe = recipe.quantizer_recipe()
    if quantizer_recipe:
        manager.load_quantization_recipe(quantizer_recipe)
    return [_plan(model, weight, manager) for weight in weights]


def _plan(model: Any, weight: Weight, manager: Any) -> WeightPlan:
    plans = []
    for use in weight.uses:
        subgraph = model.subgraphs[use.subgraph]
        for consumer in use.consumers:
            operator = subgraph.operators[consumer]
            code = model.operatorCodes[operator.opcodeIndex].builtinCode
            op_name = tfl_flatbuffer_utils.TFL_OP_CODE_TO_NAME[code]
            scope = tfl_flatbuffer_utils.get_op_scope(operator, subgraph.tensors)
            algorithm, config = manager.get_quantization_configs(op_name, scope)
            if algorithm == algorithm_manager.AlgorithmName.NO_QUANTIZE:
                config = None
            is_cast = algorithm == algorithm_manager.AlgorithmName.FLOAT_CASTING
            plans.append(WeightPlan(weight, op_name, config, is_cast))
    first = plans[0]
    if any((p.op_config, p.is_float_cast) != (first.op_config, first.is_float_cast) for p in plans):
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


def mark(model: Any, plan: WeightPlan) -> None:
    """Give the weight its stored type in every subgraph, with scales still to come."""
    if plan.op_config is None:
        return
    transformations = common_utils.get_tensor_transformations(
        plan.op_config, is_inbounding_tensor=True, is_constant=True
    )
    dequantize = qtyping.QuantTransformation.ADD_DEQUANTIZE in transformations
    scales = None if plan.scale_shape is None else np.zeros(plan.scale_shape, np.float32)
    for use in plan.weight.uses:
        edit = transformation_utils.TransformationInput(
            tensor_id=use.tensor,
            model=model,
            subgraph=model.subgraphs[use.subgraph],
            producer=-1,
            consumers=_consumers_now(model.subgraphs[use.subgraph], use.tensor),
            quant_params=_parameters(plan, scales),
        )
        if plan.block_size:
            _mark_blockwise(model, plan, use)
        elif dequantize:
            dequant_insert.insert_dequant(edit)
        else:
            quantize_tensor.quantize_tensor(edit)


def _consumers_now(subgraph: Any, tensor: int) -> list[int]:
    """Find the consumers again: inserted operators have moved them."""
    return [i for i, operator in enumerate(subgraph.operators) if tensor in operator.inputs]


def _parameters(plan: WeightPlan, scales: npt.NDArray[np.float32] | None) -> Any:
    if scales is None:
        return qtyping.NonLinearQuantParams(num_bits=16, quantized_data=None)
    return qtyping.UniformQuantParams(
        num_bits=plan.bits,
        quantized_dimension=0,
        scale=scales,
        zero_point=np.zeros(scales.shape, np.int64),
        symmetric=True,
    )


def _mark_blockwise(model: Any, plan: WeightPlan, use: Any) -> None:
    """Attach a scales tensor, as the library does, with one buffer for all subgraphs.

    The library's own edit finds buffers by content; with the scales still unknown it would
    give all weights of one shape the same buffer.
    """
    assert plan.scale_shape is not None
    subgraph = model.subgraphs[use.subgraph]
    tensor = subgraph.tensors[use.tensor]
    first = plan.weight.uses[0]
    scales_id = transformation_utils.add_new_constant_tensor(
        tensor.name + b"_scales",
        np.zeros(plan.scale_shape, np.float16),
        schema.TensorType.FLOAT16,
        subgraph,
        model,
        force_duplicate_buffer=use is first,
    )
    if use is not first:
        first_tensor = model.subgraphs[first.subgraph].tensors[first.tensor]
        shared = first_tensor.quantization.details.scales
        subgraph.tensors[scales_id].buffer = model.subgraphs[first.subgraph].tensors[shared].buffer
    details = schema.BlockwiseQuantizationT()
    details.scales, details.zeroPoints, details.blockSize = scales_id, -1, plan.block_size
    tensor.type = quantize_tensor.quant_params_to_tflite_type(plan.bits)
    tensor.quantization = schema.QuantizationParametersT()
    tensor.quantization.detailsType = schema.QuantizationDetails.BlockwiseQuantization
    tensor.quantization.details = details
    tensor.quantization.quantizedDimension = 0


def set_scales(model: Any, plan: WeightPlan, scales: npt.NDArray[np.float32]) -> None:
    """Put the scales that the data turned out to have in place of the marks."""
    for use in plan.weight.uses:
        subgraph = model.subgraphs[use.subgraph]
        quantization = subgraph.tensors[use.tensor].quantization
        if plan.block_size:
            buffer = subgraph.tensors[quantization.details.scales].buffer
            model.buffers[buffer].data = _stored_block_scales(scales).reshape(-1).view(np.uint8)
        else:
            quantization.scale = scales


def quantize_rows(
    plan: WeightPlan, rows: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[Any], npt.NDArray[np.float32] | None]:
    """Turn rows of a weight into stored bytes and their scales.

    Raises:
        ConversionError: a value is infinite or not a number, or float16 cannot hold it.
    """
    if plan.op_config is None:
        _require_finite(plan, rows, rows)
        return rows.reshape(-1).view(np.uint8), None
    if plan.is_float_cast:
        with np.errstate(over="ignore"):
            cast = rows.astype(np.float16)
        _require_finite(plan, cast, rows)
        return cast.reshape(-1).view(np.uint8), None
    with np.errstate(invalid="ignore", over="ignore"):
        _require_finite(plan, rows.max(axis=1) - rows.min(axis=1), rows)
    made = _quantized(plan, rows)
    values = np.ravel(made.quantized_data).view(np.uint8)
    scales = np.asarray(made.scale, np.float32)
    if plan.scale_shape is not None:
        scales = scales.reshape(len(rows), *plan.scale_shape[1:])
    return transformation_utils.pack_data(plan.bits, values), scales


def grid_rows(plan: WeightPlan, rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the values that rows have once they are stored: what the engines compute with."""
    if plan.op_config is None:
        return rows
    if plan.is_float_cast:
        return rows.astype(np.float16).astype(np.float32)
    made = _quantized(plan, rows)
    values = np.asarray(made.quantized_data).astype(np.float32)
    scales = np.asarray(made.scale, np.float32).reshape(len(rows), -1)
    if plan.block_size:
        scales = _stored_block_scales(scales).astype(np.float32)
    widened: npt.NDArray[np.float32] = values * np.repeat(
        scales, rows.shape[1] // scales.shape[1], axis=1
    )
    return widened


def _quantized(plan: WeightPlan, rows: npt.NDArray[np.float32]) -> Any:
    info = qtyping.OpInfo(None, plan.op_name, 0, plan.op_config)
    return naive_min_max_quantize.get_tensor_quant_params(
        info, plan.op_config.weight_tensor_config, rows, None
    )


def _stored_block_scales(scales: npt.NDArray[np.float32]) -> npt.NDArray[np.float16]:
    """Round as the kernels expect: float16 with bfloat16's mantissa."""
    rounded: npt.NDArray[np.float16] = scales.astype(ml_dtypes.bfloat16).astype(np.float16)
    return rounded


def _require_finite(
    plan: WeightPlan, stored: npt.NDArray[Any], rows: npt.NDArray[np.float32]
) -> None:
    if np.isfinite(stored).all():
        return
    if np.isfinite(rows).all():
        raise ConversionError(
            f"{plan.weight.name} holds values up to {np.abs(rows).max():g}, which float16 "
            "cannot hold",
            "choose another recipe, such as dynamic_wi8_afp32",
        )
    raise ConversionError(
        f"{plan.weight.name} holds infinite values or values that are not numbers",
        "the checkpoint is damaged or training diverged; no recipe can store it",
    )
