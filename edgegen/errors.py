"""Everything edgegen raises on purpose.

    EdgegenError
    ├── CheckpointError       the input folder, its config.json or its weights
    │   ├── ConfigError       config.json asks for something edgegen does not author
    │   └── WeightsError      tensors missing, left over, or of another shape
    ├── ConversionError       the model cannot be expressed, traced or quantized as asked
    ├── TokenizerError        no tokenizer, or one of a kind the bundle cannot carry
    ├── BundleError           a bundle is damaged, incomplete or not a bundle
    ├── EngineError           a real engine refused the bundle, crashed or said something else
    ├── DeviceError           a device cannot be reached or refuses
    └── OutputError           the result cannot be written (exists, no space, no permission)

A message says what was found and what was expected; `hint` says what to do. The command
line prints them as `error:` and `hint:` and exits with status 1.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class EdgegenError(Exception):
    """Base of all expected failures.

    Attributes:
        message: What was found, and what was expected.
        hint: What the user can do about it, or `None`.
    """

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class CheckpointError(EdgegenError):
    """The checkpoint folder cannot be used."""


class ConfigError(CheckpointError):
    """`config.json` asks for something edgegen does not author.

    Attributes:
        keys: The keys that ask, each as the path to it; empty where no single key does.
    """

    def __init__(
        self, message: str, hint: str | None = None, *, keys: Sequence[tuple[str, ...]] = ()
    ) -> None:
        super().__init__(message, hint)
        self.keys = tuple(keys)


class WeightsError(CheckpointError):
    """Tensors are missing, left over, or have another shape than the model.

    Attributes:
        differences: What does not fit, a line for each tensor.
    """

    def __init__(
        self, message: str, hint: str | None = None, *, differences: Sequence[str] = ()
    ) -> None:
        super().__init__(message, hint)
        self.differences = tuple(differences)


class ConversionError(EdgegenError):
    """The model cannot be converted as asked."""


class TokenizerError(EdgegenError):
    """There is no tokenizer that the bundle can carry."""


class BundleError(EdgegenError):
    """A bundle is damaged, incomplete, or not a bundle at all."""


class EngineError(EdgegenError):
    """A real engine refused the bundle, crashed, or disagreed with the checkpoint."""


class DeviceError(EdgegenError):
    """A device cannot be reached, or refuses what was asked."""


class OutputError(EdgegenError):
    """The result cannot be written where it was asked for."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a hint that lists `known` and, when one is near `name`, names it first."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    listing = f"known: {', '.join(names)}"
    return f"did you mean '{near[0]}'? ({listing})" if near else listing
