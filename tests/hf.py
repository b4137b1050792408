"""Random Hugging Face checkpoints: the oracle's side of every parity test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

import edgegen.author.models as models

# Of these transformers makes the text part alone: the vision part needs a library of its own.
TEXT_PARTS = ("gemma3n",)


def random_hf_model(config: dict[str, Any], seed: int = 0) -> PreTrainedModel:
    """Make transformers' own class with random weights that are large enough to tell errors."""
    if config["model_type"] in TEXT_PARTS:
        config = config["text_config"]
    torch.manual_seed(seed)
    values = {key: value for key, value in config.items() if key != "model_type"}
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(config["model_type"], **values))
    for parameter in model.parameters():
        if parameter.dim() > 1:
            parameter.data.normal_(0.0, 1.5 / parameter.shape[-1] ** 0.5)
        else:
            parameter.data.uniform_(0.5, 1.5)
    return model.eval()


def tiny_config(model_type: str = "llama", **changes: Any) -> dict[str, Any]:
    return {**models.architecture(model_type).tiny_config(), **changes}


def save_checkpoint(
    folder: Path, config: dict[str, Any], *, seed: int = 0, **save_options: Any
) -> PreTrainedModel:
    """Write a checkpoint folder and return the model it holds, in evaluation mode."""
    model = random_hf_model(config, seed)
    model.save_pretrained(folder, **save_options)
    if config["model_type"] in TEXT_PARTS:
        _put_beside_other_parts(folder, config)
    return model


def _put_beside_other_parts(folder: Path, config: dict[str, Any]) -> None:
    """Rewrite a text model's checkpoint as that of the multimodal model it is a part of."""
    text = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "text_config": text}))
    stored = load_file(folder / "model.safetensors")
    moved = {
        name.replace("model.", "model.language_model.", 1): tensor
        for name, tensor in stored.items()
    }
    others = {"model.vision_tower.stem.0.weight": torch.zeros(2, 3)}
    save_file({**moved, **others}, folder / "model.safetensors")
