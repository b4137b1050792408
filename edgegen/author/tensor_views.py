"""Tensors computed from stored ones while they are read: rows picked, turned, joined.

Checkpoints fuse, transpose and interleave matrices in many ways. A graph that undid it at run
time would pay for it on every token, so it is undone here, once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgegen.author.tensor_source import TensorSource

_TRANSPOSED_ROWS = 4096


@dataclass(frozen=True)
class PickedRows(TensorSource):
    """Rows of a tensor, in the order of `rows`."""

    name: str
    shape: tuple[int, ...]
    source: TensorSource
    rows: npt.NDArray[np.int64]

    def read_rows(self, start: int, stop: int) -> npt.NDArray[np.float32]:
        """Read picked rows `start..stop`; see `TensorSource.read_rows`."""
        wanted = self.rows[start:stop]
        if not len(wanted):
            return self.source.read_rows(0, 0)
        first = int(wanted.min())
        # Picks move rows within a head or take a range: the rows between are few.
        read = self.source.read_rows(first, int(wanted.max()) + 1)
        return read[wanted - first]

    def require_float(self) -> None:
        """Raise `CheckpointError` if the values are not floats that float32 can hold."""
        self.source.require_float()


@dataclass(frozen=True)
class Transposed(TensorSource):
    """A matrix `[columns, rows]` read as `[rows, columns]`."""

    name: str
    shape: tuple[int, ...]
    source: TensorSource

    def read_rows(self, start: int, stop: int) -> npt.NDArray[np.float32]:
        """Read rows, which are columns of the stored matrix; see `TensorSource.read_rows`."""
        stored_rows = self.source.shape[0]
        parts = [
            self.source.read_rows(begin, min(begin + _TRANSPOSED_ROWS, stored_rows))[:, start:stop]
            for begin in range(0, stored_rows, _TRANSPOSED_ROWS)
        ]
        return np.ascontiguousarray(np.concatenate(parts).T)

    def require_float(self) -> None:
        """Raise `CheckpointError` if the values are not floats that float32 can hold."""
        self.source.require_float()


@dataclass(frozen=True)
class Joined(TensorSource):
    """Tensors one after the other, along rows (`dim` 0) or along columns (`dim` 1)."""

    name: str
    shape: tuple[int, ...]
    sources: tuple[TensorSource, ...]
    dim: int

    def read_rows(self, start: int, stop: int) -> npt.NDArray[np.float32]:
        """Read rows across the joints; see `TensorSource.read_rows`."""
        if self.dim == 1:
            parts = [source.read_rows(start, stop) for source in self.sources]
            return np.concatenate(parts, axis=1)
        parts, begin = [], 0
        for source in self.sources:
            rows = source.shape[0]
            low, high = max(start - begin, 0), min(stop - begin, rows)
            if low < high:
                parts.append(source.read_rows(low, high))
            begin += rows
        return np.concatenate(parts) if parts else self.sources[0].read_rows(0, 0)

    def require_float(self) -> None:
        """Raise `CheckpointError` if the values are not floats that float32 can hold."""
        for source in self.sources:
            source.require_float()


@dataclass(frozen=True)
class ColumnView(TensorSource):
    """One entry of each row of a tensor, as a vector."""

    name: str
    shape: tuple[int, ...]
    source: TensorSource
    index: int

    def read_rows(self, start: int, stop: int) -> npt.NDArray[np.float32]:
        """Read entries `start..stop` of the vector; see `TensorSource.read_rows`."""
        rows = self.source.read_rows(start, stop)
        return np.ascontiguousarray(rows.reshape(stop - start, -1)[:, self.index])

    def require_float(self) -> None:
        """Raise `CheckpointError` if the values are not floats that float32 can hold."""
        self.source.require_float()


def picked_rows(source: TensorSource, rows: npt.NDArray[np.int64]) -> PickedRows:
    """View some rows of `source`."""
    return PickedRows(source.name, (len(rows), *source.shape[1:]), source, rows)


def transposed(source: TensorSource) -> Transposed:
    """View a matrix turned around."""
    rows, columns = source.shape
    return Transposed(source.name, (columns, rows), source)


def joined(name: str, sources: Sequence[TensorSource], dim: int) -> Joined:
    """View tensors as one; they agree in every dimension but `dim`."""
    shape = list(sources[0].shape)
    shape[dim] = sum(source.shape[dim] for source in sources)
    return Joined(name, tuple(shape), tuple(sources), dim)


def column(source: TensorSource, index: int) -> ColumnView:
    """View entry `index` of each row."""
    return ColumnView(source.name, source.shape[:1], source, index)
