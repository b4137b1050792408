"""Following torch's operators, and finding for each what a TFLite model computed in its place.

A TFLite graph keeps no names of where its tensors come from, so they are recognized by value.
Whatever is recognized goes on as TFLite had it: each operator gets the inputs that its counterpart
got, and what differs is its own doing.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map
from torch.utils.weak import WeakIdKeyDictionary

import edgegen.author
from edgegen.author.layers.mask import MASKED
from edgegen.convert.tapped_model import Tap

# As shares of the output's norm. The right operators of 25 architectures differ from torch's by at
# most 8e-7, those that round what comes in to int8 by at most 0.02; in trained models large
# activations cost more.
EXACT = 1e-4
ROUNDED = 0.1

_AUTHOR = Path(edgegen.author.__file__).parent
_MOVEMENTS = {"_to_copy", "cat", "clone", "constant_pad_nd", "dynamic_update_slice", "stack"}


@dataclass(frozen=True)
class Operator:
    """One operator that torch ran.

    Attributes:
        name: As ATen calls it.
        module: The innermost module of the model that it ran in; empty outside of them.
        source: The line of edgegen that asked for it, such as `author/layers/rope.py:54, angles`.
        inputs: Which operators made its inputs, as indices; weights are none.
        moves: Whether it only rearranges what comes in.
        agrees: Whether TFLite has its output, or, if it only rearranges, all its inputs.
        nearest: How far TFLite's nearest tensor of that size is, as a share of the output's norm.
    """

    name: str
    module: str
    source: str
    inputs: tuple[int, ...]
    moves: bool
    agrees: bool
    nearest: float | None


class _Candidate:
    """A tensor of TFLite, and what torch took it for."""

    def __init__(self, tap: Tap) -> None:
        self.tap = tap
        self.value = tap.value.reshape(-1)
        self.taken_as: npt.NDArray[Any] | None = None


class OperatorTrace(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """What torch does while this is entered, operator for operator.

    Args:
        taps: What the TFLite model computed.
        inputs: What both were given.
        module: Its submodules' names are those of `Operator.module`.
    """

    def __init__(
        self, taps: Sequence[Tap], inputs: Mapping[str, torch.Tensor], module: nn.Module
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operators: list[Operator] = []
        self._candidates: dict[int, list[_Candidate]] = {}
        for tap in taps:
            self._candidates.setdefault(tap.value.size, []).append(_Candidate(tap))
        self._made_by = WeakIdKeyDictionary()
        self._module = module
        self._within = [""]
        for name, tensor in inputs.items():
            self._made_by[tensor] = len(self.operators)
            self.operators.append(Operator(name, "", "", (), True, True, None))

    def index_of(self, tensor: torch.Tensor) -> int:
        """Return the index of the operator, or of the input, that a tensor comes from."""
        return int(self._made_by[tensor])

    @contextmanager
    def naming_modules(self) -> Iterator[None]:
        """Note which module runs, while inside."""
        hooks = []
        for name, module in self._module.named_modules():
            if name:
                hooks += [
                    module.register_forward_pre_hook(
                        lambda *_, name=name: self._within.append(name)
                    ),
                    module.register_forward_hook(lambda *_: self._leave()),
                ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run one operator, and hand on what TFLite has in its place."""
        made = func(*args, **(kwargs or {}))
        given = [x for x in tree_flatten((args, kwargs))[0] if isinstance(x, torch.Tensor)]
        name = func._schema.name.rpartition("::")[2]
        views = any(result.alias_info is not None for result in func._schema.returns)
        return tree_map(
            lambda x: (
                self.follow(name, given, x, moves=views or name in _MOVEMENTS)
                if isinstance(x, torch.Tensor)
                else x
            ),
            made,
        )

    def follow(
        self,
        name: str,
        inputs: Sequence[torch.Tensor],
        output: torch.Tensor,
        *,
        moves: bool = False,
    ) -> torch.Tensor:
        """Note an operator, and return TFLite's output in place of its own if they agree."""
        known = tuple(self.index_of(x) for x in inputs if x in self._made_by)
        if not known:
            return output  # made of weights and constants alone
        nearest = None
        agrees = all(self.operators[i].agrees for i in known)
        if not moves:
            # After inputs that differ, rounding is no excuse.
            found, nearest = self._find(output.detach().numpy().reshape(-1), rounded=agrees)
            agrees = found is not None
            if found is not None:
                value = torch.from_numpy(found.tap.value.reshape(tuple(output.shape)))
                output = value.to(output.dtype)
        self._made_by[output] = len(self.operators)
        self.operators.append(
            Operator(name, self._within[-1], _source(), known, moves, agrees, nearest)
        )
        return output

    def _leave(self) -> None:
        self._within.pop()

    def _find(
        self, value: npt.NDArray[Any], *, rounded: bool
    ) -> tuple[_Candidate | None, float | None]:
        """Find the tensor that has these values, and tell how near the nearest is.

        Those that come of rounded inputs may be farther away, where `rounded` allows it.
        """
        candidates = self._candidates.get(value.size, [])
        best: tuple[float, _Candidate] | None = None
        nearest = float("inf")
        for one in candidates:
            # A tensor stands for one operator, so that two that are almost equal (a mean, and the
            # mean plus epsilon) are told apart; one that moves has its value from another tensor.
            if one.taken_as is not None or one.tap.moves:
                continue
            distance = relative_distance(value, one.value)
            nearest = min(nearest, distance)
            if distance <= EXACT:
                one.taken_as = value
                return one, distance
            if rounded and one.tap.rounds and distance <= (best[0] if best else ROUNDED):
                best = distance, one
        if best is not None:
            best[1].taken_as = value
            return best[1], best[0]
        for one in candidates:
            # What torch computes twice, or multiplies by one, the converter has once.
            if np.array_equal(value, one.value) or (
                one.taken_as is not None and np.array_equal(value, one.taken_as)
            ):
                return one, relative_distance(value, one.value)
        return None, nearest if np.isfinite(nearest) else None


def relative_distance(expected: npt.NDArray[Any], found: npt.NDArray[Any]) -> float:
    """Return the norm of the difference as a share of `expected`'s; masked slots must be the same.

    Beside the values of masked slots any other difference would vanish.
    """
    a, b = expected.astype(np.float32, copy=False), found.astype(np.float32, copy=False)
    hidden = a < MASKED / 2
    if hidden.any() or (b < MASKED / 2).any():
        if not np.array_equal(hidden, b < MASKED / 2):
            return float("inf")
        a, b = a[~hidden], b[~hidden]
    norm, difference = float(np.linalg.norm(a)), float(np.linalg.norm(a - b))
    distance = difference / norm if norm else difference
    return distance if np.isfinite(distance) else float("inf")


def _source() -> str:
    """Name the innermost line of the authored layers that is running."""
    frame = sys._getframe(1)
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        if path.is_relative_to(_AUTHOR):
            where = path.relative_to(_AUTHOR.parent)
            return f"{where}:{frame.f_lineno}, {frame.f_code.co_name}"
        frame = frame.f_back  # type: ignore[assignment]
    return ""
