"""Which layers of a decoder have to be traced, because the others are like them.

The layers of a model repeat: all alike, or in a pattern of a few kinds. Tracing takes time for
each layer, so a decoder is traced with just enough of its layers, and the rest is stamped out of
one period of the traced graph (`edgegen.convert.stamp`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from edgegen.author import AuthoredModel
from edgegen.author.decoder import Decoder
from edgegen.author.tensor_source import TensorSource
from edgegen.convert.trace import is_streamed

_LAYERS = "layers."


@dataclass(frozen=True)
class Reduction:
    """A decoder with `copies` periods of its layers left out.

    Traced layers are numbered as they are traced. A period is kept as the template, with the
    same period and one layer more before it, so that whatever only the first user of something
    computes is not in the template; and at least one layer after it.

    Attributes:
        num_hidden_layers: Layers of the whole decoder.
        template: The first layer of the template.
        period: Layers of the template.
        copies: How often it is stamped behind itself.
    """

    num_hidden_layers: int
    template: int
    period: int
    copies: int

    @property
    def traced(self) -> int:
        """How many layers are traced."""
        return self.num_hidden_layers - self.copies * self.period

    @property
    def end(self) -> int:
        """The first traced layer after the template."""
        return self.template + self.period

    def place(self, traced: int) -> int:
        """Return the number of a traced layer in the whole decoder."""
        return traced if traced < self.end else traced + self.copies * self.period

    def stamped(self) -> list[tuple[int, int]]:
        """Return each stamped layer's number and that of its template, in order."""
        return [
            (layer, self.template + (layer - self.end) % self.period)
            for layer in range(self.end, self.end + self.copies * self.period)
        ]


def find_reduction(module: object) -> Reduction | None:
    """Return the reduction that leaves out most layers, `None` where nothing can be left out."""
    # What another class does between its layers is not known here.
    if type(module) is not Decoder:
        return None
    layers = list(module.layers)
    if module.cache_layers != tuple(range(len(layers))):
        return None
    vectors = [p for p in module.parameters() if not is_streamed(tuple(p.shape))]
    # Of one number, or sliced, it could not be told among the constants.
    if any(vector.dim() != 1 or vector.numel() == 1 for vector in vectors):
        return None
    kinds = [_kind(layer) for layer in layers]
    found = [
        Reduction(len(layers), start + period + 1, period, copies)
        for period in range(1, len(layers) // 3)
        for start in range(len(layers) - 3 * period)
        for copies in (_copies(kinds, start, period),)
        if copies > 0
    ]
    return max(found, key=lambda r: (r.copies * r.period, -r.period, -r.template), default=None)


def _copies(kinds: Sequence[object], start: int, period: int) -> int:
    """Return how many periods can be left out of the pattern that begins at `start`."""
    end = start + period
    while end < len(kinds) and kinds[end] == kinds[end - period]:
        end += 1
    # One period and a layer before the template, the template, and a layer after it.
    return (end - start - 2 * period - 2) // period


def reduce_model(model: AuthoredModel, reduction: Reduction) -> AuthoredModel:
    """Return the model with the traced layers alone, numbered as they are traced."""
    decoder = model.module
    assert isinstance(decoder, Decoder)
    places = {reduction.place(index): index for index in range(reduction.traced)}
    sources: dict[str, TensorSource] = {}
    for name, source in model.sources.items():
        if not name.startswith(_LAYERS):
            sources[name] = source
            continue
        number, _, rest = name.removeprefix(_LAYERS).partition(".")
        if int(number) in places:
            sources[f"{_LAYERS}{places[int(number)]}.{rest}"] = source
    return replace(model, module=decoder.with_layers(sorted(places)), sources=sources)


def whole_name(traced: str, layer: int) -> str:
    """Return a layer's parameter's name with the number of another layer."""
    _, _, rest = traced.removeprefix(_LAYERS).partition(".")
    return f"{_LAYERS}{layer}.{rest}"


def layer_number(name: str) -> int | None:
    """Return the number of the layer that a parameter belongs to, if any."""
    if not name.startswith(_LAYERS):
        return None
    return int(name.removeprefix(_LAYERS).partition(".")[0])


def _kind(module: nn.Module) -> object:
    """Return what decides which graph a module becomes; equal for modules that are alike."""
    plain = {k: v for k, v in vars(module).items() if k not in _TORCHS}
    return (
        type(module),
        tuple((name, tuple(p.shape)) for name, p in module.named_parameters(recurse=False)),
        tuple(sorted((name, _comparable(value)) for name, value in plain.items())),
        tuple((name, _kind(child)) for name, child in module.named_children()),
    )


# What every module has: its parameters and children are compared as such.
_TORCHS = frozenset(vars(nn.Module()))


def _comparable(value: Any) -> str:
    """Describe a plain value by its content, and anything else as the one object that it is."""
    if value is None or isinstance(value, bool | int | float | str):
        return repr(value)
    if isinstance(value, tuple | list):
        return f"[{','.join(map(_comparable, value))}]"
    return f"{type(value).__qualname__} at {id(value)}"
