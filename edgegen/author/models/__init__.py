"""The architectures: one file each, named by HF's `model_type`.

A file exports `read_config(raw)`, which sorts every key of `config.json`, `build(config)`, which
makes an `ExportableModule` (a `Decoder` for most), `weight_map(config)`, `tiny_config()` for the
tests, and its `KIND`. What `read_config` returns is its own affair, if only the other two take
it and it has what `Config` asks for.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from edgegen.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    import torch

    from edgegen.author.weights import WeightMap

# The files of this folder: a new architecture is one file, and no more.
ARCHITECTURES = tuple(
    sorted(
        path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_")
    )
)
# What diffusers writes as `_class_name`.
_CLASSES = {"UNet2DConditionModel": "unet_2d_condition"}
KINDS = ("decoder", "encoder", "encoder-decoder", "diffusion")


class Config(Protocol):
    """What later stages ask of an architecture's config."""

    @property
    def model_type(self) -> str:
        """The architecture's name."""

    @property
    def num_hidden_layers(self) -> int:
        """Number of layers."""

    @property
    def vocab_size(self) -> int:
        """V."""

    @property
    def max_position_embeddings(self) -> int:
        """The longest context that the model was trained for."""


class ExportableModule(Protocol):
    """A `torch.nn.Module` that knows its signatures."""

    def signatures(self, prefill_lens: Sequence[int]) -> dict[str, int]:
        """Return each signature's name and the T it takes."""

    def sample_inputs(
        self, signature: str, tokens: int, kv_cache_len: int
    ) -> dict[str, torch.Tensor]:
        """Make inputs of a signature, by name."""

    def run(self, signature: str, inputs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Compute a signature: named tensors in, named tensors out."""

    def eval(self) -> ExportableModule:
        """Switch to evaluation mode, as `torch.nn.Module.eval`."""

    def parameters(self) -> Iterator[torch.nn.Parameter]:
        """Iterate over the parameters, as `torch.nn.Module.parameters`."""

    def named_parameters(self) -> Iterator[tuple[str, torch.nn.Parameter]]:
        """Iterate over names and parameters, as `torch.nn.Module.named_parameters`."""


class Architecture(Protocol):
    """What the file of an architecture provides."""

    KIND: str
    """One of `KINDS`."""

    def read_config(self, raw: Mapping[str, Any]) -> Config:
        """Sort every key of `config.json`."""

    def build(self, config: Any) -> ExportableModule:
        """Make the module, with parameters that hold nothing yet."""

    def weight_map(self, config: Any) -> WeightMap:
        """Say which stored tensor fills which parameter."""

    def tiny_config(self) -> dict[str, Any]:
        """Return a `config.json` small enough for tests."""


def architecture_of(raw: Mapping[str, Any]) -> Architecture:
    """Return the architecture that a `config.json` asks for.

    Raises:
        ConfigError: edgegen does not author it.
    """
    return architecture(architecture_name(raw))


def architecture_name(raw: Mapping[str, Any]) -> object:
    """Return the name by which `architecture` would know the model of a `config.json`."""
    # diffusers names its classes instead, and some checkpoints are another model than their
    # model_type alone says.
    name = _CLASSES.get(str(raw.get("_class_name")), raw.get("model_type"))
    if name == "gemma3_text" and raw.get("use_bidirectional_attention"):
        return "gemma3_embedding"
    return name


def architecture(model_type: object) -> Architecture:
    """Return the architecture of that name.

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
    module = importlib.import_module(f"edgegen.author.models.{model_type}")
    return cast(Architecture, module)
