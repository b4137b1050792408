"""Joining a checkpoint with the architecture that its `config.json` names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgegen.author.checkpoint import Checkpoint
from edgegen.author.tensor_source import TensorSource
from edgegen.errors import WeightsError

if TYPE_CHECKING:
    import torch

    from edgegen.author.models import Config, ExportableModule


@dataclass(frozen=True)
class AuthoredModel:
    """A checkpoint's model, rebuilt; no weights have been read.

    Attributes:
        checkpoint: Where it came from.
        kind: What sort of model it is, one of `edgegen.author.models.KINDS`.
        config: Its shape.
        module: The module, on the `meta` device.
        sources: For each parameter of `module`, the stored tensor that fills it.
    """

    checkpoint: Checkpoint
    kind: str
    config: Config
    module: ExportableModule = field(repr=False)
    sources: Mapping[str, TensorSource] = field(repr=False)

    @property
    def parameter_count(self) -> int:
        """Number of parameters, a tied matrix counted once."""
        return sum(parameter.numel() for parameter in self.module.parameters())

    def load_state(self) -> dict[str, torch.Tensor]:
        """Read every parameter as float32 (4 bytes for each parameter of memory)."""
        import torch

        return {name: torch.from_numpy(entry.read()) for name, entry in self.sources.items()}


def author_model(checkpoint: Checkpoint) -> AuthoredModel:
    """Rebuild the checkpoint's model and account for each of its tensors.

    Raises:
        ConfigError: the architecture or a config key is unknown.
        WeightsError: parameters and stored tensors do not match one to one.
        CheckpointError: a tensor is not stored as floats.
    """
    import torch

    from edgegen.author.models import architecture_of
    from edgegen.author.weights import resolve

    chosen = architecture_of(checkpoint.config)
    config = chosen.read_config(checkpoint.config)
    if config.num_hidden_layers > len(checkpoint.tensors):
        raise WeightsError(
            f"config.json has num_hidden_layers={config.num_hidden_layers}, but the checkpoint "
            f"stores {len(checkpoint.tensors)} tensors in all",
            "config.json and the weights must be of the same model",
        )
    with torch.device("meta"):
        module = chosen.build(config).eval()
    shapes = {name: tuple(p.shape) for name, p in module.named_parameters()}
    sources = resolve(chosen.weight_map(config), shapes, checkpoint.tensors)
    for entry in sources.values():
        entry.require_float()
    return AuthoredModel(checkpoint, chosen.KIND, config, module, sources)
