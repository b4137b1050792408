"""Tokenizers without loss: `tokenizer.json` as a SentencePiece model, and the gate that proves it.

Names are loaded when first used; reading a bundle needs none of them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgegen.bundle.tokenizers.convert import Conversion, convert_tokenizer, try_convert
    from edgegen.bundle.tokenizers.corpus import class_names, corpus_lines
    from edgegen.bundle.tokenizers.gate import ClassResult, GateReport, Mismatch, compare, require
    from edgegen.bundle.tokenizers.hugging_face import HfTokenizer, open_hf_tokenizer

_PUBLIC = {
    "ClassResult": "gate",
    "Conversion": "convert",
    "GateReport": "gate",
    "HfTokenizer": "hugging_face",
    "Mismatch": "gate",
    "class_names": "corpus",
    "compare": "gate",
    "convert_tokenizer": "convert",
    "corpus_lines": "corpus",
    "open_hf_tokenizer": "hugging_face",
    "require": "gate",
    "try_convert": "convert",
}

__all__ = [
    "ClassResult",
    "Conversion",
    "GateReport",
    "HfTokenizer",
    "Mismatch",
    "class_names",
    "compare",
    "convert_tokenizer",
    "corpus_lines",
    "open_hf_tokenizer",
    "require",
    "try_convert",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'edgegen.bundle.tokenizers' has no attribute {name!r}")
    return getattr(importlib.import_module(f"edgegen.bundle.tokenizers.{_PUBLIC[name]}"), name)
