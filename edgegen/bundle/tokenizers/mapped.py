"""A tokenizer behind MediaPipe's own mapping between bytes and characters.

Where METADATA asks for it, MediaPipe's engine spells each byte of a prompt in GPT-2's character for
it before SentencePiece sees the text, and spells pieces back. LiteRT-LM passes over that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgegen.bundle.tokenizer import SentencePieceTokenizer
from edgegen.bundle.tokenizers.byte_alphabet import gpt2_bytes, gpt2_characters, spell


def mapped(text: str) -> str:
    """Return a text as MediaPipe's engine gives it to SentencePiece."""
    return spell(text.encode(), gpt2_characters())


def mapped_back(text: str) -> bytes:
    """Return the bytes of what pieces spell; characters that stand for none are kept."""
    table = gpt2_bytes()
    return b"".join(bytes([table[c]]) if c in table else c.encode() for c in text)


@dataclass(frozen=True)
class MappedTokenizer(SentencePieceTokenizer):
    """A SentencePiece tokenizer as MediaPipe's engine reads it with the mapping on."""

    def encode(self, text: str) -> list[int]:
        """Return the ids of `text`, without start or stop tokens."""
        return super().encode(mapped(text))

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of `ids`; bytes that are no text come as U+FFFD.

        Raises:
            TokenizerError: an id is not in the vocabulary.
        """
        return mapped_back(super().decode(ids)).decode(errors="replace")

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of each text, without start or stop tokens."""
        return super().encode_batch([mapped(text) for text in texts])

    def decode_batch(self, ids: Sequence[Sequence[int]]) -> list[str]:
        """Return the text of each list of ids.

        Raises:
            TokenizerError: an id is not in the vocabulary.
        """
        return [self.decode(row) for row in ids]
