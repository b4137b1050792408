"""Random LoRA adapters, made and saved by peft: the oracle's side of every test of merging."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

with warnings.catch_warnings():  # third parties' own, on import
    warnings.simplefilter("ignore")
    from peft import LoraConfig, PeftModel, get_peft_model

WEIGHTS = "adapter_model.safetensors"
PROJECTIONS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def save_adapter(folder: Path, base: Path, *, seed: int = 1, **config: Any) -> Path:
    """Write an adapter of the checkpoint in `base` with values that are large enough to show."""
    options = {"r": 4, "lora_alpha": 6, "target_modules": PROJECTIONS, "task_type": "CAUSAL_LM"}
    torch.manual_seed(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about tied weights, among others
        model = get_peft_model(
            AutoModelForCausalLM.from_pretrained(base), LoraConfig(**{**options, **config})
        )
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.data.normal_(0.0, 0.3)
            elif "modules_to_save" in name:
                parameter.data.add_(torch.randn_like(parameter), alpha=0.2)
        model.save_pretrained(folder)
    return folder


@torch.no_grad()
def peft_logits(base: Path, adapter: Path, tokens: list[int], *, merge: bool) -> torch.Tensor:
    """Compute the logits after each token, `[T, V]`, with peft's own arithmetic."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), adapter)
        chosen = (model.merge_and_unload() if merge else model).eval()
    return chosen(torch.tensor([tokens])).logits[0]


def change(
    adapter: Path, new: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]
) -> None:
    save_file(new(load_file(adapter / WEIGHTS)), adapter / WEIGHTS)


def configure(adapter: Path, **changes: Any) -> None:
    path = adapter / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
