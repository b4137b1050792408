"""Activation functions, by HF's `hidden_act` spellings (`transformers.activations.ACT2FN`)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn import functional


def _gelu_tanh(x: torch.Tensor) -> torch.Tensor:
    return functional.gelu(x, approximate="tanh")


def _quick_gelu(x: torch.Tensor) -> torch.Tensor:
    return x * torch.sigmoid(1.702 * x)


def _relu2(x: torch.Tensor) -> torch.Tensor:
    positive = functional.relu(x)
    return positive * positive


ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "gelu": functional.gelu,
    "gelu_fast": _gelu_tanh,
    "gelu_new": _gelu_tanh,
    "gelu_pytorch_tanh": _gelu_tanh,
    "quick_gelu": _quick_gelu,
    "relu": functional.relu,
    "relu2": _relu2,
    "silu": functional.silu,
    "swish": functional.silu,
    "tanh": torch.tanh,
}
