"""Giving the graph's weights their stored types, while their data is still on disk.

The edits are ai-edge-quantizer's own, except where they look at the data.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema
from ai_edge_quantizer import qtyping
from ai_edge_quantizer.algorithms.utils import common_utils
from ai_edge_quantizer.transformations import (
    dequant_insert,
    insert_decomposed_hadamard_rotation,
    quantize_tensor,
    transformation_utils,
)

from edgegen.convert.plan import WeightPlan

_LOOKUP = schema.BuiltinOperator.EMBEDDING_LOOKUP


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


def block_scales_buffer(model: Any, plan: WeightPlan) -> Any:
    """Return the buffer of a marked weight's block scales."""
    use = plan.weight.uses[0]
    subgraph = model.subgraphs[use.subgraph]
    scales = subgraph.tensors[use.tensor].quantization.details.scales
    return model.buffers[subgraph.tensors[scales].buffer]


def set_scales(model: Any, plan: WeightPlan, scales: npt.NDArray[np.float32]) -> None:
    """Put the scales that the data turned out to have in place of the marks; not those of blocks,
    which are data themselves.
    """
    for use in plan.weight.uses:
        model.subgraphs[use.subgraph].tensors[use.tensor].quantization.scale = scales


def insert_rotations(model: Any, plans: list[WeightPlan]) -> None:
    """Rotate the activations that meet rotated weights; call it when all weights are marked."""
    for plan in plans:
        for use in plan.weight.uses if plan.is_rotated else ():
            subgraph = model.subgraphs[use.subgraph]
            for index in _consumers_now(subgraph, use.tensor):
                if _code(model, subgraph.operators[index]) == _LOOKUP:
                    _rotate(model, subgraph, subgraph.operators[index].outputs[0], plan)
    # A tensor is rotated once for all the matrices that it meets (K, Q and V), so these are
    # collected before the first insertion moves operators.
    meeting: dict[tuple[int, int], list[Any]] = defaultdict(list)
    rotated: dict[tuple[int, int], WeightPlan] = {}
    for plan in plans:
        for use in plan.weight.uses if plan.is_rotated else ():
            subgraph = model.subgraphs[use.subgraph]
            for index in _consumers_now(subgraph, use.tensor):
                operator = subgraph.operators[index]
                if _code(model, operator) != _LOOKUP:
                    key = use.subgraph, operator.inputs[0]
                    meeting[key].append(operator)
                    rotated[key] = plan
    for key, operators in meeting.items():
        subgraph_id, tensor = key
        _rotate(model, model.subgraphs[subgraph_id], tensor, rotated[key], operators)


def _rotate(
    model: Any,
    subgraph: Any,
    tensor: int,
    plan: WeightPlan,
    consumers: list[Any] | None = None,
) -> None:
    """Insert one rotation of a tensor before some of its consumers, or before all of them."""
    indices = [
        index
        for index, operator in enumerate(subgraph.operators)
        if tensor in operator.inputs
        and (consumers is None or any(operator is consumer for consumer in consumers))
    ]
    if consumers is None and tensor in subgraph.outputs:
        indices.append(-1)
    producers = [i for i, operator in enumerate(subgraph.operators) if tensor in operator.outputs]
    edit = transformation_utils.TransformationInput(
        tensor_id=tensor,
        model=model,
        subgraph=subgraph,
        producer=producers[0] if producers else -1,
        consumers=indices,
        quant_params=qtyping.UniformQuantParams(
            num_bits=plan.bits,
            quantized_dimension=0,
            scale=np.zeros(1, np.float32),
            zero_point=np.zeros(1, np.int64),
            hadamard=qtyping.UniformQuantParams.HadamardRotationParams(
                random_binary_vector=np.ones(plan.rotation_size, np.int8),
                hadamard_size=plan.rotation_size,
            ),
        ),
    )
    insert_decomposed_hadamard_rotation.insert_decomposed_hadamard_rotation(edit)


def _code(model: Any, operator: Any) -> int:
    return int(model.operatorCodes[operator.opcodeIndex].builtinCode)
