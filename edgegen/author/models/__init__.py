"""The architectures: one file each, named by HF's `model_type`.

A file exports `build(config) -> Decoder`, `weight_map(config) -> WeightMap`,
`read_config(raw) -> DecoderConfig` and `tiny_config() -> dict` for the tests.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, Protocol, cast

from edgegen.author.config import DecoderConfig
from edgegen.author.decoder import Decoder
from edgegen.author.weights import WeightMap
from edgegen.errors import ConfigError, did_you_mean

# model_type -> module in this folder
ARCHITECTURES = {"llama": "llama"}


class Architecture(Protocol):
    """What the file of an architecture provides."""

    def read_config(self, raw: Mapping[str, Any]) -> DecoderConfig:
        """Sort every key of `config.json`."""

    def build(self, config: DecoderConfig) -> Decoder:
        """Make the module, with parameters that hold nothing yet."""

    def weight_map(self, config: DecoderConfig) -> WeightMap:
        """Say which stored tensor fills which parameter."""

    def tiny_config(self) -> dict[str, Any]:
        """Return a `config.json` small enough for tests."""


def architecture(model_type: object) -> Architecture:
    """Return the architecture of that `model_type`.

    Raises:
        ConfigError: edgegen does not author it.
    """
    if not isinstance(model_type, str):
        raise ConfigError(
            f"config.json has model_type={model_type!r}, expected a name",
            f"pass a checkpoint of one of: {', '.join(sorted(ARCHITECTURES))}",
        )
    if model_type not in ARCHITECTURES:
        raise ConfigError(
            f"edgegen does not author the architecture {model_type!r}",
            did_you_mean(model_type, ARCHITECTURES),
        )
    module = importlib.import_module(f"edgegen.author.models.{ARCHITECTURES[model_type]}")
    return cast(Architecture, module)
