"""Reading a checkpoint's tensors as a recipe would store them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgegen.author.tensor_source import TensorSource
from edgegen.convert.plan import WeightPlan
from edgegen.convert.quantize import grid_rows


@dataclass(frozen=True)
class GridSource(TensorSource):
    """A tensor whose values are rounded to a recipe's grid when they are read."""

    name: str
    shape: tuple[int, ...]
    source: TensorSource
    plan: WeightPlan

    @classmethod
    def of(cls, source: TensorSource, plan: WeightPlan) -> GridSource:
        """Wrap `source`."""
        return cls(source.name, source.shape, source, plan)

    def read_rows(self, start: int, stop: int) -> npt.NDArray[np.float32]:
        """Read rows as float32 values of the grid; see `TensorSource.read_rows`."""
        if self.plan.needs_all_rows:
            return grid_rows(self.plan, self.source.read())[start:stop]
        return grid_rows(self.plan, self.source.read_rows(start, stop))

    def require_float(self) -> None:
        """Raise `CheckpointError` if the values are not floats that float32 can hold."""
        self.source.require_float()
