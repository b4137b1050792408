"""What every tensor of a checkpoint can do, wherever its values come from."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import numpy as np
import numpy.typing as npt

_COMPARED_VALUES = 4_000_000


class TensorSource(ABC):
    """Float values that can be read a few rows at a time.

    A source is a stored tensor (`TensorEntry`), or a view that computes its rows from those
    of others: joined, transposed, with an adapter added, rounded to a recipe's grid.
    """

    name: str
    """What to call it in a message."""
    shape: tuple[int, ...]
    """Its dimensions."""

    @abstractmethod
    def read_rows(self, start: int, stop: int) -> npt.NDArray[np.float32]:
        """Read rows `start..stop` of the first dimension as float32 `[stop - start, ...]`.

        Raises:
            CheckpointError: a file ends early, or its dtype is not a float we can widen.
        """

    @abstractmethod
    def require_float(self) -> None:
        """Raise `CheckpointError` if the values are not floats that float32 can hold."""

    @property
    def value_count(self) -> int:
        """Number of values."""
        return math.prod(self.shape)

    def read(self) -> npt.NDArray[np.float32]:
        """Read the whole tensor as float32."""
        return self.read_rows(0, self.shape[0] if self.shape else 1).reshape(self.shape)

    def same_values(self, other: TensorSource) -> bool:
        """Compare with a tensor of the same shape, a block of rows at a time."""
        rows = self.shape[0]
        step = max(1, _COMPARED_VALUES * rows // max(1, self.value_count))
        return all(
            np.array_equal(self.read_rows(start, stop), other.read_rows(start, stop))
            for start in range(0, rows, step)
            for stop in (min(start + step, rows),)
        )
