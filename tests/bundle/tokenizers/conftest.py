from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edgegen.bundle.tokenizers import Conversion, HfTokenizer, open_hf_tokenizer, try_convert
from tests.bundle.tokenizers.trained import KINDS, with_added


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Train a kind of tokenizer once and return its `tokenizer.json`."""
    folder = tmp_path_factory.mktemp("tokenizers")

    def save(kind: str) -> Path:
        path = folder / kind / "tokenizer.json"
        if not path.exists():
            path.parent.mkdir()
            tokenizer = KINDS[kind]()
            if kind in ("gpt2", "smollm", "llama3", "qwen2"):
                with_added(tokenizer, "<tool call>", "<|中|>")
            tokenizer.save(str(path))
        return path

    return save


@pytest.fixture(scope="session")
def converted(saved: Callable[[str], Path]) -> Callable[[str, str], tuple[HfTokenizer, Conversion]]:
    """Convert a kind of tokenizer once for each engine."""
    known: dict[tuple[str, str], tuple[HfTokenizer, Conversion]] = {}

    def convert(kind: str, engine: str = "litert-lm") -> tuple[HfTokenizer, Conversion]:
        if (kind, engine) not in known:
            path = saved(kind)
            known[kind, engine] = (open_hf_tokenizer(path), try_convert(path, engine=engine))
        return known[kind, engine]

    return convert
