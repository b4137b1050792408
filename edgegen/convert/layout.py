"""The layout of weights in TFLite, where it is not torch's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgegen.author.tensor_source import TensorSource


def graph_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return a weight's shape in the graph; a kernel `[O, I, kH, kW]` is `[O, kH, kW, I]` there."""
    if len(shape) != 4:
        return shape
    out_channels, in_channels, height, width = shape
    return (out_channels, height, width, in_channels)


def in_graph_layout(source: TensorSource) -> TensorSource:
    """View a weight as the graph holds it."""
    if len(source.shape) != 4:
        return source
    return _Kernel(source.name, graph_shape(source.shape), source)


@dataclass(frozen=True)
class _Kernel(TensorSource):
    """A convolution's kernel with its input channels last."""

    name: str
    shape: tuple[int, ...]
    source: TensorSource

    def read_rows(self, start: int, stop: int) -> npt.NDArray[np.float32]:
        """Read output channels `start..stop`; see `TensorSource.read_rows`."""
        return np.ascontiguousarray(self.source.read_rows(start, stop).transpose(0, 2, 3, 1))

    def require_float(self) -> None:
        """Raise `CheckpointError` if the values are not floats that float32 can hold."""
        self.source.require_float()
