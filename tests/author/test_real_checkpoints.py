"""Configs and tensor names of published models, built at full size without weights.

`real/SOURCES.md` says where each file's values come from.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoModelForSeq2SeqLM

from edgegen.author.models import ARCHITECTURES, architecture, architecture_of
from edgegen.author.tensor_source import TensorSource
from edgegen.author.weights import resolve
from edgegen.errors import ConfigError

REAL = Path(__file__).parent / "real"
# That of a diffusion model is tests/author/test_unet.py's.
CONFIGS = sorted(
    path.stem
    for path in REAL.glob("*.json")
    if not path.stem.startswith("index-") and not path.stem.endswith("-unet")
)
INDEXES = sorted(path.stem for path in REAL.glob("index-*.json"))
# Architectures of which no published config was found. Those that wrap a text model are covered
# through their `text_config`, which is another architecture's config.
WITHOUT_CONFIG = {"ministral", "gemma3", "gemma3n", "gemma4"}


class Named(TensorSource):
    """A tensor of which only name and shape are known."""

    def __init__(self, name: str, shape: tuple[int, ...]) -> None:
        self.name, self.shape = name, shape

    def read_rows(self, start: int, stop: int) -> npt.NDArray[np.float32]:
        raise AssertionError(f"{self.name} was read")

    def require_float(self) -> None:
        pass

    def same_values(self, other: TensorSource) -> bool:
        return self.shape == other.shape


def config_of(name: str) -> dict[str, Any]:
    return json.loads((REAL / f"{name}.json").read_text())


def parameters(config: dict[str, Any]) -> tuple[Any, Any, dict[str, tuple[int, ...]]]:
    chosen = architecture_of(config)
    read = chosen.read_config(config)
    with torch.device("meta"):
        module = chosen.build(read)
    return chosen, read, {name: tuple(p.shape) for name, p in module.named_parameters()}


def stored_by_transformers(config: dict[str, Any]) -> dict[str, TensorSource]:
    """Return what transformers' own model of that config saves, by name."""
    values = {key: value for key, value in config.items() if key != "model_type"}
    hf_config = AutoConfig.for_model(config["model_type"], **values)
    kind = AutoModelForSeq2SeqLM if hf_config.is_encoder_decoder else AutoModelForCausalLM
    if config.get("use_bidirectional_attention") is True:
        kind = AutoModel
    with torch.device("meta"):
        model = kind.from_config(hf_config)
    tied = set(getattr(model, "all_tied_weights_keys", None) or ())
    return {
        name: Named(name, tuple(tensor.shape))
        for name, tensor in hub_names(model).items()
        if name not in tied
    }


def hub_names(model: Any) -> dict[str, torch.Tensor]:
    """Undo the renaming that transformers does while it loads, as its `save_pretrained` does."""
    from transformers.core_model_loading import revert_weight_conversion

    return revert_weight_conversion(model, model.state_dict())


def covered() -> list[str]:
    return [name for name in CONFIGS if config_of(name).get("model_type") in ARCHITECTURES]


@pytest.mark.parametrize("name", covered())
def test_every_tensor_of_transformers_model_is_accounted_for(name: str) -> None:
    config = config_of(name)
    chosen, read, ours = parameters(config)

    filled = resolve(chosen.weight_map(read), ours, stored_by_transformers(config))

    assert filled.keys() == ours.keys()


@pytest.mark.parametrize("name", INDEXES)
def test_every_name_of_a_published_index_is_accounted_for(name: str) -> None:
    """The index has no shapes: those of the parameters are taken, and names must match."""
    index = json.loads((REAL / f"{name}.json").read_text())
    config_name = index["config"]
    config = config_of(config_name)
    chosen, read, ours = parameters(config)
    shapes = {entry.name: entry.shape for entry in stored_by_transformers(config).values()}
    embedding = next(shape for shape in shapes.values() if shape[0] == config["vocab_size"])
    stored = {tensor: Named(tensor, shapes.get(tensor, embedding)) for tensor in index["tensors"]}

    filled = resolve(chosen.weight_map(read), ours, stored)

    assert filled.keys() == ours.keys()


def test_enough_real_models_are_covered() -> None:
    assert len(covered()) >= 20
    types = {config_of(name)["model_type"] for name in covered()}
    decoders = {n for n in ARCHITECTURES if architecture(n).KIND == "decoder"}
    assert decoders - types <= WITHOUT_CONFIG


@pytest.mark.parametrize("name", [name for name in CONFIGS if name not in covered()])
def test_the_others_are_refused_by_name(name: str) -> None:
    with pytest.raises(ConfigError, match="does not author the architecture"):
        architecture_of(config_of(name))
