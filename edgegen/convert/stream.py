"""Streaming weights from the checkpoint into the flatbuffer.

All sizes are known before any data is read, so the file is laid out first: a header (the
flatbuffer without weight data), then each weight at its own 64-byte aligned place, referred
to by absolute position. Blocks of rows are read, quantized and written in any order by a few
threads; scales of channels are collected and the header is written last. Scales of blocks are as
many as a tenth of the weights, and go to a place of their own. Peak memory is a few blocks of rows,
whatever the size of the model, except where an algorithm needs all rows of a weight at once:
then it is about ten bytes for each of its values, for as many weights as there are threads.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from ai_edge_litert.tools import flatbuffer_utils

from edgegen.author.tensor_source import TensorSource
from edgegen.convert.layout import in_graph_layout
from edgegen.convert.mark import block_scales_buffer, insert_rotations, mark, set_scales
from edgegen.convert.plan import WeightPlan
from edgegen.convert.quantization_error import QuantizationError
from edgegen.convert.quantize import quantize_rows, stored_block_scales
from edgegen.errors import ConversionError
from edgegen.progress import Advance, stage

# Large enough to keep numpy busy, small enough for the allocator to reuse: 64 MB blocks took
# 1.8 times as long.
BLOCK_BYTES = 8_000_000
ALIGNMENT = 64


@dataclass(frozen=True)
class _Block:
    """Rows `start..stop` of a weight, and where their bytes go."""

    plan: WeightPlan
    entry: TensorSource
    start: int
    stop: int
    position: int
    scales_position: int | None


def stream_weights(
    model: Any, plans: list[WeightPlan], sources: Mapping[str, TensorSource], output: Path
) -> tuple[QuantizationError, ...]:
    """Write `model` with all its weights to `output`.

    Args:
        model: A `ModelT` whose weights are bound and empty; it is changed.
        plans: How each weight is stored.
        sources: For each weight's name its stored tensor.
        output: The file to write; the caller makes sure that it is a temporary name.

    Returns:
        What storing changed of each weight.

    Raises:
        ConversionError: a weight cannot be stored as planned, or has another shape in the graph.
        CheckpointError: a tensor cannot be read.
    """
    sources = {name: in_graph_layout(source) for name, source in sources.items()}
    for plan in plans:
        _require_same_shape(plan, sources[plan.weight.name])
        mark(model, plan)
        for buffer in _outside(model, plan):
            # Present from the start, so that the header's length does not change with them.
            buffer.data, buffer.offset, buffer.size = None, 1, 1
    insert_rotations(model, plans)
    scales = {
        plan.weight.name: np.zeros(plan.scale_shape, np.float32)
        for plan in plans
        if plan.scale_shape is not None and not plan.block_size
    }
    position = _aligned(len(flatbuffer_utils.convert_object_to_bytearray(model)))
    reserved = position
    blocks = []
    places: list[tuple[Any, int, int]] = []
    for plan in plans:
        starts = []
        for buffer, size in zip(_outside(model, plan), _sizes(plan), strict=True):
            places.append((buffer, position, size))
            starts.append(position)
            position = _aligned(position + size)
        blocks += _blocks(plan, sources, *starts)
    total = sum(plan.nbytes for plan in plans)
    with stage("weights", total, "B") as advance, output.open("r+b") as file:
        errors = _write_blocks(blocks, scales, file.fileno(), advance)
        for buffer, start, size in places:
            buffer.offset, buffer.size = start, size
        for plan in plans:
            if plan.weight.name in scales:
                set_scales(model, plan, scales[plan.weight.name])
        header = flatbuffer_utils.convert_object_to_bytearray(model)
        assert len(header) <= reserved, (len(header), reserved)
        _write(file.fileno(), header, 0)
        # Engines map the file: its last weight must be there to its last aligned byte.
        file.truncate(position)
    return tuple(QuantizationError.of(plan, *errors[plan.weight.name]) for plan in plans)


def _outside(model: Any, plan: WeightPlan) -> list[Any]:
    """Return the buffers whose content is not in the header: a weight, and its block scales."""
    weight = model.buffers[plan.weight.buffer]
    return [weight, block_scales_buffer(model, plan)] if plan.block_size else [weight]


def _sizes(plan: WeightPlan) -> list[int]:
    if not plan.block_size:
        return [plan.nbytes]
    assert plan.scale_shape is not None
    return [plan.nbytes, 2 * math.prod(plan.scale_shape)]  # float16


def _require_same_shape(plan: WeightPlan, entry: TensorSource) -> None:
    if plan.weight.shape != entry.shape:
        raise ConversionError(
            f"the graph takes {plan.weight.name} as {list(plan.weight.shape)}, the checkpoint "
            f"stores {list(entry.shape)}",
            "the checkpoint changed while it was converted, or the converter turned a matrix; "
            "run the command again",
        )


def _blocks(
    plan: WeightPlan,
    sources: Mapping[str, TensorSource],
    position: int,
    scales_position: int | None = None,
) -> list[_Block]:
    rows, row_values = plan.weight.shape[0], math.prod(plan.weight.shape[1:])
    step = rows if plan.needs_all_rows else max(1, BLOCK_BYTES // (row_values * 4))
    # A block must end on a whole byte: with 4 bits and an odd row length, after even rows.
    while step < rows and step * row_values * plan.bits % 8:
        step += 1
    entry = sources[plan.weight.name]
    return [
        _Block(
            plan,
            entry,
            start,
            min(start + step, rows),
            position + start * row_values * plan.bits // 8,
            None
            if scales_position is None
            else scales_position + start * (row_values // plan.block_size) * 2,
        )
        for start in range(0, rows, step)
    ]


def _write_blocks(
    blocks: list[_Block],
    scales: dict[str, npt.NDArray[np.float32]],
    handle: int,
    advance: Advance,
) -> dict[str, tuple[float, float]]:
    """Store the blocks; return each weight's sums of squares, before storing and of the error."""
    sums = {block.plan.weight.name: (0.0, 0.0) for block in blocks}

    def work(block: _Block) -> tuple[str, int, float, float]:
        rows = block.entry.read_rows(block.start, block.stop)
        name, stored = block.plan.weight.name, quantize_rows(block.plan, rows)
        if block.scales_position is not None:
            assert stored.scales is not None
            _write(handle, stored_block_scales(stored.scales), block.scales_position)
        elif stored.scales is not None:
            scales[name][block.start : block.stop] = stored.scales
        _write(handle, stored.data, block.position)
        return name, int(stored.data.nbytes), stored.squared_sum, stored.squared_error

    # numpy releases the interpreter lock in the loops that matter.
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        try:
            for name, done, squared_sum, squared_error in pool.map(work, blocks):
                advance(done)
                sums[name] = sums[name][0] + squared_sum, sums[name][1] + squared_error
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return sums


def _write(handle: int, data: Any, position: int) -> None:
    view = memoryview(data).cast("B")
    while view:
        done = os.pwrite(handle, view, position)
        view, position = view[done:], position + done


def _aligned(position: int) -> int:
    return -(-position // ALIGNMENT) * ALIGNMENT
