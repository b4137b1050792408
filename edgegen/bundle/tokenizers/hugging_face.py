"""Hugging Face's tokenizer: what conversions are compared with, and `.litertlm` carries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from edgegen.bundle.tokenizers.tokenizer_json import TokenizerJson, read_tokenizer_json
from edgegen.errors import TokenizerError


@dataclass(frozen=True)
class HfTokenizer:
    """A `tokenizer.json`, run by the tokenizers library.

    It has the interface of `SentencePieceTokenizer`, and speaks of tokens as the file spells
    them.

    Attributes:
        path: Where it came from, for messages.
        file: Its parts.
    """

    path: Path
    file: TokenizerJson = field(repr=False)

    @cached_property
    def library(self) -> Any:
        """The `tokenizers.Tokenizer`.

        Raises:
            TokenizerError: the library is missing or does not take the file.
        """
        try:
            import tokenizers
        except ImportError as error:
            raise TokenizerError(
                f"reading {self.path} needs the tokenizers library, which cannot be imported: "
                f"{error}",
                "install it: pip install tokenizers",
            ) from error
        try:
            tokenizer = tokenizers.Tokenizer.from_str(self.file.text)
        except Exception as error:  # the library raises nothing narrower
            raise TokenizerError(
                f"{self.path} is not a tokenizer that the tokenizers library reads: {error}",
                "save it again with the library's current version",
            ) from error
        for token in self.file.added_tokens:
            if tokenizer.token_to_id(token.content) != token.id:
                raise TokenizerError(
                    f"{self.path} gives the added token {token.content!r} the id {token.id}, the "
                    f"tokenizers library gives it {tokenizer.token_to_id(token.content)}",
                    "ids of added tokens must follow the vocabulary without gaps; save the "
                    "tokenizer again with the library's current version",
                )
        # The file may ask for both; a prompt is neither cut short nor filled up.
        tokenizer.no_truncation()
        tokenizer.no_padding()
        # Special tokens are found in text, as in the library's own use.
        tokenizer.encode_special_tokens = False
        return tokenizer

    @cached_property
    def merging(self) -> Any:
        """The library's model of BPE, less its short cut for words that are one token."""
        model = self.library.model
        if not self.file.model.get("ignore_merges"):
            return model
        import tokenizers

        return tokenizers.models.BPE(
            vocab=dict(self.file.vocab), merges=list(self.file.merges), ignore_merges=False
        )

    @property
    def vocab_size(self) -> int:
        """Number of ids; they run from 0 to one less."""
        return self.file.size

    def encode(self, text: str) -> list[int]:
        """Return the ids of `text`, without start or stop tokens."""
        return list(self.library.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of `ids`; special tokens give nothing.

        Raises:
            TokenizerError: an id is not in the vocabulary.
        """
        for i in ids:
            self._check_id(i)
        return str(self.library.decode(list(ids), skip_special_tokens=True))

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of each text, without start or stop tokens."""
        found = self.library.encode_batch_fast(list(texts), add_special_tokens=False)
        return [list(encoding.ids) for encoding in found]

    def decode_batch(self, ids: Sequence[Sequence[int]]) -> list[str]:
        """Return the text of each list of ids, special tokens included."""
        return list(self.library.decode_batch([list(i) for i in ids], skip_special_tokens=False))

    def piece_id(self, piece: str) -> int | None:
        """Return the id of exactly this token, or `None` if there is no such token."""
        found = self.library.token_to_id(piece)
        return None if found is None else int(found)

    def id_piece(self, token_id: int) -> str:
        """Return the token of an id, as the file spells it.

        Raises:
            TokenizerError: the id is not in the vocabulary.
        """
        self._check_id(token_id)
        return str(self.library.id_to_token(token_id))

    def _check_id(self, token_id: int) -> None:
        if not 0 <= token_id < self.vocab_size or self.library.id_to_token(token_id) is None:
            raise TokenizerError(
                f"token id {token_id} is outside the tokenizer {self.path}, "
                f"which has {self.vocab_size} ids",
                "the configs and the tokenizer are of different models; take all files from one",
            )


def open_hf_tokenizer(path: str | Path) -> HfTokenizer:
    """Open a `tokenizer.json`.

    Raises:
        TokenizerError: it cannot be read or is damaged.
    """
    return HfTokenizer(Path(path), read_tokenizer_json(path))
