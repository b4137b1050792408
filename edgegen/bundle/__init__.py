"""One file for the phone: writing, opening, inspecting and running a `.task` bundle.

Nothing here loads torch, and the names below are loaded when first used: the process that
runs the engine imports this package too and is measured for memory.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgegen.bundle.contents import Bundle
    from edgegen.bundle.engine import generate, measure
    from edgegen.bundle.engine_types import (
        Delegation,
        GenerateRequest,
        GenerationResult,
        Measurement,
        MeasureRequest,
    )
    from edgegen.bundle.formats import open_bundle, write_bundle
    from edgegen.bundle.generation import GenerationParameters, generation_parameters
    from edgegen.bundle.inspect import Inspection, inspect_bundle
    from edgegen.bundle.tokenizer import (
        SentencePieceTokenizer,
        open_exact_tokenizer,
        open_tokenizer,
    )

_PUBLIC = {
    "Bundle": "contents",
    "Delegation": "engine_types",
    "GenerateRequest": "engine_types",
    "GenerationParameters": "generation",
    "GenerationResult": "engine_types",
    "Inspection": "inspect",
    "MeasureRequest": "engine_types",
    "Measurement": "engine_types",
    "SentencePieceTokenizer": "tokenizer",
    "generate": "engine",
    "generation_parameters": "generation",
    "inspect_bundle": "inspect",
    "measure": "engine",
    "open_bundle": "formats",
    "open_exact_tokenizer": "tokenizer",
    "open_tokenizer": "tokenizer",
    "write_bundle": "formats",
}

__all__ = [
    "Bundle",
    "Delegation",
    "GenerateRequest",
    "GenerationParameters",
    "GenerationResult",
    "Inspection",
    "MeasureRequest",
    "Measurement",
    "SentencePieceTokenizer",
    "generate",
    "generation_parameters",
    "inspect_bundle",
    "measure",
    "open_bundle",
    "open_exact_tokenizer",
    "open_tokenizer",
    "write_bundle",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'edgegen.bundle' has no attribute {name!r}")
    return getattr(importlib.import_module(f"edgegen.bundle.{_PUBLIC[name]}"), name)
