"""Comparing compositions, in a process of its own where that helps."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from tests.author.compositions import Composition, Stack
from tests.author.packs import Pack, Tensors
from tests.author.plain_layers import plain_layers

PLAIN_ATOL = 1e-4
TFLITE_ATOL = 1e-3


@dataclass(frozen=True)
class Verdict:
    """How far apart the implementations are.

    Attributes:
        composition: Whose.
        plain: The largest difference between torch and the plain implementation.
        tflite: The largest difference between TFLite and torch.
        complaint: Everything about a disagreement; empty for none.
    """

    composition: Composition
    plain: float
    tflite: float
    complaint: str


class _Computed:
    """A composition's two calls in torch, the second with the cache of the first."""

    def __init__(self, composition: Composition) -> None:
        self.composition = composition
        self.stack = Stack(composition).eval()
        first, second = composition.calls
        generator = torch.Generator().manual_seed(composition.seed)
        text = torch.randn(1, first + second, composition.hidden_size, generator=generator)
        tokens = first + composition.padding
        self.first = _padded(text[:, :first], 0, tokens)
        later = tokens if composition.second_padded else second
        self.second = _padded(text[:, first:], first, later)
        self.cache = self.stack.empty_cache()
        with torch.no_grad():
            self.after_first: Tensors = self.stack(*self.first, *self.cache)
            self.after_second: Tensors = self.stack(*self.second, *self.after_first[1:])
            expected = plain_layers(composition, self.stack.state_dict(), text[0])
        real = (self.after_first[0][0, :first], self.after_second[0][0, :second])
        found = torch.cat(real)
        self.plain = float((found.double() - expected).abs().max())


def _padded(text: torch.Tensor, start: int, tokens: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return `[1, T, D]` and its positions; rows that pad a call have position 0."""
    positions = torch.zeros(tokens, dtype=torch.int32)
    positions[: text.shape[1]] = torch.arange(start, start + text.shape[1])
    missing = torch.ones(1, tokens - text.shape[1], text.shape[2])
    return torch.cat([text, missing], dim=1), positions


def check(compositions: Sequence[Composition]) -> list[Verdict]:
    """Compare all of them, in one conversion if that succeeds."""
    computed: list[_Computed] = []
    try:
        computed = [_Computed(composition) for composition in compositions]
        return _compare(compositions, computed)
    except Exception:
        if len(compositions) == 1:
            text = f"{compositions[0]}\n{traceback.format_exc()}"
            return [Verdict(compositions[0], float("nan"), float("nan"), text)]
        # Either half by itself, until it shows which it is.
        half = len(compositions) // 2
        return check(compositions[:half]) + check(compositions[half:])


def _compare(compositions: Sequence[Composition], computed: Sequence[_Computed]) -> list[Verdict]:
    modules: list[Stack] = []
    inputs: list[Tensors] = []
    graphs = []  # which of them each call of a composition runs
    for c in computed:
        first = len(modules)
        modules.append(c.stack)
        inputs.append((*c.first, *c.cache))
        if not c.composition.second_padded:
            modules.append(c.stack)
            inputs.append((*c.second, *c.cache))
        graphs.append((first, len(modules) - 1))
    pack = Pack(modules, inputs)
    after_first = pack.run(inputs)
    # The second calls, now with the caches that TFLite itself made.
    for c, (first, second) in zip(computed, graphs, strict=True):
        inputs[second] = (*c.second, *after_first[first][1:])
    after_second = pack.run(inputs)
    verdicts = []
    for composition, c, (first, second) in zip(compositions, computed, graphs, strict=True):
        pairs = [
            *zip(after_first[first], c.after_first, strict=True),
            *zip(after_second[second], c.after_second, strict=True),
        ]
        tflite = max(float((found - expected).abs().max()) for found, expected in pairs)
        wrong = [text for graph in {first, second} for text in pack.inside(graph).complaints()]
        # `not <`, so that no number at all is wrong as well.
        if not c.plain < PLAIN_ATOL:
            wrong.append(f"{c.plain:.2e} from the plain implementation")
        if not tflite < TFLITE_ATOL:
            wrong.append(f"TFLite is {tflite:.2e} from torch")
        complaint = f"{composition}\n{'; '.join(wrong)}" if wrong else ""
        verdicts.append(Verdict(composition, c.plain, tflite, complaint))
    return verdicts
