"""Weight maps: which stored tensor fills which parameter, with every tensor accounted for.

A map is data: an ordered tuple of `Rename`, `Copy` and `Drop`, written "ours from theirs".
`{layer}` (or any other name in braces) stands for a number and must be the same on both sides.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgegen.author.tensor_source import TensorSource
from edgegen.errors import WeightsError


@dataclass(frozen=True)
class Rename:
    """Parameter `ours` is the stored tensor `source`, value for value."""

    ours: str
    source: str


@dataclass(frozen=True)
class Drop:
    """A stored tensor that the model does not need, and why."""

    source: str
    why: str


@dataclass(frozen=True)
class Copy:
    """A stored tensor that must hold the same values as stored tensor `of`, and is not needed."""

    source: str
    of: str


WeightMap = Sequence[Rename | Drop | Copy]


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
    for ours in parameters:
        for entry in weight_map:
            source = (
                _translate(entry.ours, entry.source, ours) if isinstance(entry, Rename) else None
            )
            if source is not None and source in tensors:
                filled[ours] = tensors[source]
                used.add(source)
                break
    dropped = [
        name
        for name in tensors
        if any(
            not isinstance(entry, Rename) and _pattern(entry.source).fullmatch(name)
            for entry in weight_map
        )
    ]
    unused = sorted(tensors.keys() - used - set(dropped))
    missing = sorted(parameters.keys() - filled.keys())
    other_shape = sorted(n for n, entry in filled.items() if entry.shape != parameters[n])
    if unused or missing or other_shape:
        lines = [f"  unused   {name}  {list(tensors[name].shape)}" for name in unused]
        lines += [f"  missing  {name}  {list(parameters[name])}" for name in missing]
        lines += [
            f"  shape    {name}  is {list(filled[name].shape)}, expected {list(parameters[name])}"
            for name in other_shape
        ]
        raise WeightsError(
            f"checkpoint and config.json do not fit: {len(unused)} stored tensors are not used, "
            f"{len(missing)} parameters are not filled, {len(other_shape)} have another shape\n"
            + "\n".join(_shortened(lines)),
            "config.json and the weights must be of the same model; if the model has tensors "
            "that its architecture file does not know, extend its weight_map",
        )
    for entry in weight_map:
        if isinstance(entry, Copy) and entry.source in tensors:
            _require_same(tensors[entry.source], tensors[entry.of])
    return filled


def _require_same(copy: TensorSource, original: TensorSource) -> None:
    if copy.shape != original.shape or not copy.same_values(original):
        raise WeightsError(
            f"config.json ties {copy.name} to {original.name}, but the checkpoint stores "
            "different values for the two",
            "set tie_word_embeddings to false in config.json if the stored values are meant",
        )


def _pattern(template: str) -> re.Pattern[str]:
    """Compile a template: `{name}` matches a number, all else itself."""
    parts = re.split(r"\{(\w+)\}", template)
    return re.compile(
        "".join(f"(?P<{p}>\\d+)" if i % 2 else re.escape(p) for i, p in enumerate(parts))
    )


def _translate(ours: str, source: str, name: str) -> str | None:
    match = _pattern(ours).fullmatch(name)
    return source.format(**match.groupdict()) if match else None


def _shortened(lines: list[str], limit: int = 20) -> list[str]:
    return lines if len(lines) <= limit else [*lines[:limit], f"  ... {len(lines) - limit} more"]
