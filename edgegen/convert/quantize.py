"""The numbers that are stored of a weight, in ai-edge-quantizer's arithmetic.

The library computes, a block of rows at a time; only the order is ours: the graph is marked
first, while the data is still on disk, and the data follows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
from ai_edge_quantizer import algorithm_manager, qtyping
from ai_edge_quantizer.algorithms.uniform_quantize import (
    hadamard_rotation,
    mse,
    naive_min_max_quantize,
    octav,
)
from ai_edge_quantizer.transformations import transformation_utils

from edgegen.convert.plan import WeightPlan
from edgegen.errors import ConversionError

_Algorithm = algorithm_manager.AlgorithmName
_QUANTIZE = {
    _Algorithm.MIN_MAX_UNIFORM_QUANT: naive_min_max_quantize.get_tensor_quant_params,
    _Algorithm.MSE: mse.get_tensor_quant_params,
    _Algorithm.OCTAV: octav.get_tensor_quant_params,
    _Algorithm.DECOMPOSED_HADAMARD_ROTATION: hadamard_rotation.get_tensor_quant_params,
}


@dataclass(frozen=True)
class StoredRows:
    """Rows of a weight as they are stored.

    Attributes:
        data: Their bytes.
        scales: Their scales, or `None` for floats.
        squared_sum: Sum of the squares of the original values.
        squared_error: Sum of the squares of what storing changes.
    """

    data: npt.NDArray[Any]
    scales: npt.NDArray[np.float32] | None
    squared_sum: float
    squared_error: float


def quantize_rows(plan: WeightPlan, rows: npt.NDArray[np.float32]) -> StoredRows:
    """Turn rows of a weight into what is stored of them.

    Raises:
        ConversionError: a value is infinite or not a number, or float16 cannot hold it.
    """
    if plan.op_config is None:
        _require_finite(plan, rows, rows)
        return StoredRows(rows.reshape(-1).view(np.uint8), None, _squared(rows), 0.0)
    if plan.is_float_cast:
        with np.errstate(over="ignore"):
            cast = rows.astype(np.float16)
        _require_finite(plan, cast, rows)
        error = _squared(rows - cast.astype(np.float32))
        return StoredRows(cast.reshape(-1).view(np.uint8), None, _squared(rows), error)
    with np.errstate(invalid="ignore", over="ignore"):
        flat = rows.reshape(len(rows), -1)
        _require_finite(plan, flat.max(axis=1) - flat.min(axis=1), rows)
    made = _quantized(plan, rows)
    error = _squared(rows - _dequantized(plan, made, rows.shape))
    values = np.ravel(made.quantized_data).view(np.uint8)
    scales = np.asarray(made.scale, np.float32)
    if plan.scale_shape is not None:
        scales = scales.reshape(len(rows), *plan.scale_shape[1:])
    data = transformation_utils.pack_data(plan.bits, values)
    return StoredRows(data, scales, _squared(rows), error)


def grid_rows(plan: WeightPlan, rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the values that rows have once they are stored: what the engines compute with."""
    if plan.op_config is None:
        return rows
    if plan.is_float_cast:
        return rows.astype(np.float16).astype(np.float32)
    return _dequantized(plan, _quantized(plan, rows), rows.shape)


def _quantized(plan: WeightPlan, rows: npt.NDArray[np.float32]) -> Any:
    info = qtyping.OpInfo(None, plan.op_name, 0, plan.op_config)
    quantize = _QUANTIZE[_Algorithm(plan.algorithm)]
    with np.errstate(divide="ignore", invalid="ignore"):
        made = quantize(info, plan.op_config.weight_tensor_config, rows, None)
    scales = np.asarray(made.scale, np.float32)
    if scales.all():
        return made
    # Rows or blocks of nothing but zeros, as in padded vocabularies, or of what float16 rounds to
    # zero: the library gives them a scale of 0, and XNNPACK refuses the whole model for it.
    groups = np.array(made.quantized_data).reshape(scales.size, -1)
    groups[scales.reshape(-1) == 0] = 0
    return replace(
        made,
        scale=np.where(scales == 0, np.float32(1), scales),
        quantized_data=groups.reshape(rows.shape),
    )


def _dequantized(plan: WeightPlan, made: Any, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    scales = np.asarray(made.scale, np.float32).reshape(shape[0], -1, 1)
    if plan.block_size:
        scales = stored_block_scales(scales).astype(np.float32)
    values = np.asarray(made.quantized_data).astype(np.float32)
    values = values.reshape(shape[0], scales.shape[1], -1)  # [rows, blocks, columns of one]
    values *= scales
    values = values.reshape(shape)
    if plan.is_rotated:
        # The matrix is symmetric and orthogonal, so a second turn undoes the first.
        values, _, _ = hadamard_rotation._rotate_with_diagonal_hadamard(
            values, axis=values.ndim - 1
        )
    return values


def _squared(values: npt.NDArray[np.float32]) -> float:
    flat = values.reshape(-1)
    return float(np.dot(flat, flat))


def stored_block_scales(scales: npt.NDArray[np.float32]) -> npt.NDArray[np.float16]:
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
