"""Weight maps: which stored tensor fills which parameter, with every tensor accounted for.

A map is data: an ordered tuple of `Rename`, `Join`, `Copy` and `Drop`, written "ours from
theirs". `{layer}` (or any other name in braces) stands for a number and must be the same on both
sides. Where a parameter is only a part of a stored tensor, or the same turned around, the entry
says so with views: `Rows`, `Transpose`, `Column`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgegen.author.tensor_source import TensorSource
from edgegen.author.tensor_views import column, joined, picked_rows, transposed
from edgegen.errors import WeightsError


@dataclass(frozen=True)
class Rows:
    """Some rows of a stored tensor, in this order.

    Attributes:
        rows: Which; a `range`, or any sequence.
        of: How many rows the stored tensor must have.
    """

    rows: Sequence[int]
    of: int

    def __call__(self, source: TensorSource) -> TensorSource | None:
        """View them, or return `None` if the stored tensor has another number of rows."""
        if not source.shape or source.shape[0] != self.of:
            return None
        return picked_rows(source, np.asarray(self.rows, dtype=np.int64))


@dataclass(frozen=True)
class Transpose:
    """A stored matrix `[in, out]`, as GPT-2's `Conv1D` keeps it, turned to `[out, in]`."""

    def __call__(self, source: TensorSource) -> TensorSource | None:
        """View it, or return `None` if it is not a matrix."""
        return transposed(source) if len(source.shape) == 2 else None


@dataclass(frozen=True)
class Column:
    """One column of a stored tensor whose last dimension has `of` entries.

    The other dimensions after the first have one entry each, as in a depthwise convolution.
    """

    index: int
    of: int

    def __call__(self, source: TensorSource) -> TensorSource | None:
        """View it, or return `None` if the shape is another."""
        one = all(n == 1 for n in source.shape[1:-1])
        fits = len(source.shape) >= 2 and source.shape[-1] == self.of and one
        return column(source, self.index) if fits else None


View = Rows | Transpose | Column


@dataclass(frozen=True)
class Rename:
    """Parameter `ours` is the stored tensor `source`, seen through `views` in order."""

    ours: str
    source: str
    views: tuple[View, ...] = ()


@dataclass(frozen=True)
class Join:
    """Parameter `ours` is the stored tensors `sources`, one after the other along `dim`."""

    ours: str
    sources: tuple[str, ...]
    dim: int = 0


@dataclass(frozen=True)
class Drop:
    """A stored tensor that the model does not need, and why; `name.*` is all that is under it."""

    source: str
    why: str


@dataclass(frozen=True)
class Copy:
    """A stored tensor that must hold the same values as stored tensor `of`, and is not needed."""

    source: str
    of: str


Entry = Rename | Join | Drop | Copy
WeightMap = Sequence[Entry]


def same_names(prefix: str, names: Sequence[str], ours: str = "") -> tuple[Rename, ...]:
    """Return entries for tensors that are stored under our own names, after `prefix`."""
    return tuple(Rename(f"{ours}{name}", f"{prefix}{name}") for name in names)


def half_split_rows(
    heads: int, head_dim: int, rotary_size: int | None = None
) -> npt.NDArray[np.int64]:
    """Return the rows of a projection for which neighbours rotate together, for our rotation.

    Rotary embeddings turn channels in pairs. Ours are i and i + R/2; some checkpoints pair 2i
    and 2i + 1. Scores do not depend on the order of channels, so the rows of the query and
    key projections (and of norms over heads) are put into our order.

    Args:
        heads: Number of heads.
        head_dim: H.
        rotary_size: R, the channels of a head that turn; by default all.
    """
    size = head_dim if rotary_size is None else rotary_size
    turned = np.concatenate([np.arange(0, size, 2), np.arange(1, size, 2)])
    one = np.concatenate([turned, np.arange(size, head_dim)])
    rows: npt.NDArray[np.int64] = np.arange(heads)[:, None] * head_dim + one[None]
    return rows.reshape(-1)


@dataclass(frozen=True)
class _Match:
    """The stored tensors that an entry names for a parameter, and how they fill it."""

    names: tuple[str, ...]
    make: Callable[[], TensorSource | None]


def resolve(
    weight_map: WeightMap,
    parameters: Mapping[str, tuple[int, ...]],
    tensors: Mapping[str, TensorSource],
) -> dict[str, TensorSource]:
    """Find the stored tensor of every parameter.

    Args:
        weight_map: The architecture's map.
        parameters: Shape of each of our parameters.
        tensors: The stored tensors.

    Raises:
        WeightsError: a parameter has no tensor, a tensor has no parameter and no reason to
            be dropped, or shapes differ. The message lists every one of them.
    """
    filled: dict[str, TensorSource] = {}
    used: set[str] = set()
    other_shape: list[str] = []
    compiled = [
        (entry, _pattern(entry.ours)) for entry in weight_map if isinstance(entry, Rename | Join)
    ]
    for ours, shape in parameters.items():
        match = _find(compiled, ours, tensors)
        if match is None:
            continue
        used.update(match.names)
        source = match.make()
        filled[ours] = tensors[match.names[0]] if source is None else source
        if source is None or source.shape != shape:
            stored = [list(tensors[name].shape) for name in match.names]
            found = str(stored[0]) if len(stored) == 1 else f"{len(stored)} tensors {stored[0]}"
            other_shape.append(f"  shape    {ours}  is {found}, expected {_asked(shape, match)}")
    unused = sorted(tensors.keys() - used - _dropped(weight_map, tensors))
    missing = sorted(parameters.keys() - filled.keys())
    if unused or missing or other_shape:
        lines = [f"  unused   {name}  {list(tensors[name].shape)}" for name in unused]
        lines += [f"  missing  {name}  {list(parameters[name])}" for name in missing]
        lines += sorted(other_shape)
        raise WeightsError(
            f"checkpoint and config.json do not fit: {len(unused)} stored tensors are not used, "
            f"{len(missing)} parameters are not filled, {len(other_shape)} have another shape\n"
            + "\n".join(_shortened(lines)),
            "config.json and the weights must be of the same model; if the model has tensors "
            "that its architecture file does not know, extend its weight_map",
            differences=[line.strip() for line in lines],
        )
    for entry in weight_map:
        if isinstance(entry, Copy) and entry.source in tensors and entry.of in tensors:
            _require_same(tensors[entry.source], tensors[entry.of])
    return filled


def known_names(weight_map: WeightMap, tensors: Iterable[str]) -> set[str]:
    """Return which of these names of stored tensors a map mentions."""
    templates = [
        template
        for entry in weight_map
        for template in (entry.sources if isinstance(entry, Join) else (entry.source,))
    ]
    patterns = [_pattern(template) for template in templates]
    return {name for name in tensors if any(p.fullmatch(name) for p in patterns)}


def _find(
    compiled: Sequence[tuple[Rename | Join, re.Pattern[str]]],
    ours: str,
    tensors: Mapping[str, TensorSource],
) -> _Match | None:
    """Return the first entry for the parameter whose tensors are all stored."""
    for entry, pattern in compiled:
        match = pattern.fullmatch(ours)
        if match is None:
            continue
        templates = (entry.source,) if isinstance(entry, Rename) else entry.sources
        names = tuple(template.format(**match.groupdict()) for template in templates)
        if all(name in tensors for name in names):
            return _Match(names, _maker(entry, ours, [tensors[name] for name in names]))
    return None


def _maker(
    entry: Rename | Join, ours: str, stored: Sequence[TensorSource]
) -> Callable[[], TensorSource | None]:
    def rename() -> TensorSource | None:
        assert isinstance(entry, Rename)
        source: TensorSource | None = stored[0]
        for view in entry.views:
            if source is None:
                return None
            source = view(source)
        return source

    def join() -> TensorSource | None:
        assert isinstance(entry, Join)
        shapes = {
            tuple(n for i, n in enumerate(source.shape) if i != entry.dim) for source in stored
        }
        ranks = {len(source.shape) for source in stored}
        if len(shapes) != 1 or len(ranks) != 1 or min(ranks) <= entry.dim:
            return None
        return joined(ours, stored, entry.dim)

    return rename if isinstance(entry, Rename) else join


def _asked(shape: tuple[int, ...], match: _Match) -> str:
    parts = "" if len(match.names) == 1 else " of all together"
    return f"{list(shape)}{parts}"


def _dropped(weight_map: WeightMap, tensors: Mapping[str, TensorSource]) -> set[str]:
    patterns = [
        _pattern(e.source)
        for e in weight_map
        if isinstance(e, Drop) or (isinstance(e, Copy) and e.of in tensors)
    ]
    return {name for name in tensors if any(p.fullmatch(name) for p in patterns)}


def _require_same(copy: TensorSource, original: TensorSource) -> None:
    if copy.shape != original.shape or not copy.same_values(original):
        raise WeightsError(
            f"config.json ties {copy.name} to {original.name}, but the checkpoint stores "
            "different values for the two",
            "set tie_word_embeddings to false in config.json if the stored values are meant",
        )


def _pattern(template: str) -> re.Pattern[str]:
    """Compile a template: `{name}` matches a number, `*` at the end all, all else itself."""
    parts = re.split(r"\{(\w+)\}", template.removesuffix("*"))
    return re.compile(
        "".join(f"(?P<{p}>\\d+)" if i % 2 else re.escape(p) for i, p in enumerate(parts))
        + (".+" if template.endswith("*") else "")
    )


def _shortened(lines: list[str], limit: int = 20) -> list[str]:
    return lines if len(lines) <= limit else [*lines[:limit], f"  ... {len(lines) - limit} more"]
