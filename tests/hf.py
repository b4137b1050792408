"""Random Hugging Face checkpoints: the oracle's side of every parity test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

import edgegen.author.models as models


def random_hf_model(config: dict[str, Any], seed: int = 0) -> PreTrainedModel:
    """Make transformers' own class with random weights that are large enough to tell errors."""
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
    return model
