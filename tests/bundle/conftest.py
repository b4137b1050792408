"""Small real things that the bundle tests share."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import sentencepiece

from edgegen.bundle import GenerationParameters, SentencePieceTokenizer

PARAMETERS = GenerationParameters(start_token="<s>", stop_tokens=("</s>",))


def train_tokenizer(vocab_size: int = 320) -> bytes:
    """A byte-fallback BPE over a few words, in milliseconds."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["to be or not to be that is the question", "hello world"] * 9),
        model_writer=model,
        model_type="bpe",
        vocab_size=vocab_size,
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        add_dummy_prefix=False,
        user_defined_symbols=["<end_of_turn>"],
        num_threads=1,
        minloglevel=2,
    )
    return model.getvalue()


@pytest.fixture(scope="session")
def proto() -> bytes:
    return train_tokenizer()


@pytest.fixture(scope="session")
def tokenizer(proto: bytes) -> SentencePieceTokenizer:
    return SentencePieceTokenizer(Path("tokenizer.model"), proto)


@pytest.fixture
def fake_tflite(tmp_path: Path) -> Path:
    """A file that says it is TFLite, for tests that never look further."""
    path = tmp_path / "model.tflite"
    path.write_bytes(b"\x1c\0\0\0TFL3" + bytes(range(256)) * 40)
    return path
