"""Reading a checkpoint's tensors as a recipe would store them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgegen.author.safetensors_files import TensorEntry
from edgegen.convert.quantize import WeightPlan, grid_rows


@dataclass(frozen=True)
class GridEntry(TensorEntry):
    """A stored tensor whose values are rounded to a recipe's grid when they are read."""

    plan: WeightPlan

    @classmethod
    def of(cls, entry: TensorEntry, plan: WeightPlan) -> GridEntry:
        """Wrap `entry`."""
        return cls(
            entry.name, entry.path, entry.dtype, entry.shape, entry.offset, entry.nbytes, plan
        )

    def read_rows(self, start: int, stop: int) -> npt.NDArray[np.float32]:
        """Read rows as float32 values of the grid; see `TensorEntry.read_rows`."""
        return grid_rows(self.plan, super().read_rows(start, stop))
