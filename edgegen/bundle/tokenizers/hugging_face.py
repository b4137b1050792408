"""Hugging Face's tokenizer: what conversions are compared with, and `.litertlm` carries."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from edgegen.bundle.tokenizers.byte_alphabet import token_bytes
from edgegen.bundle.tokenizers.tokenizer_json import TokenizerJson, read_tokenizer_json
from edgegen.errors import TokenizerError

_BYTE = re.compile("<0x([0-9A-F]{2})>")


@contextlib.contextmanager
def library_failures(path: Path) -> Iterator[None]:
    """Turn what the tokenizers library raises into `TokenizerError`.

    Its errors are bare `Exception`s, and its panics are none: they derive from `BaseException`.
    All else passes, since it is not the library's.
    """
    try:
        yield
    except BaseException as error:
        if type(error) is not Exception and not _is_panic(error):
            raise
        raise TokenizerError(
            f"the tokenizers library fails with {path}: {error}; expected a tokenizer that takes "
            "any text",
            "download the file again, or save the tokenizer again with the library's current "
            "version",
        ) from error


def _is_panic(error: BaseException) -> bool:
    # Its class belongs to a module that cannot be imported.
    return type(error).__name__ == "PanicException"


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
        except BaseException as error:  # the library raises nothing narrower
            if not isinstance(error, Exception) and not _is_panic(error):
                raise
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

        with library_failures(self.path):
            return tokenizers.models.BPE(
                vocab=dict(self.file.vocab), merges=list(self.file.merges), ignore_merges=False
            )

    @cached_property
    def _added(self) -> dict[int, str]:
        return {token.id: token.content for token in self.file.added_tokens}

    @cached_property
    def _decoders(self) -> set[str]:
        return {str(part["type"]) for part in self.file.decoders}

    @property
    def vocab_size(self) -> int:
        """Number of ids; they run from 0 to one less."""
        return self.file.size

    def encode(self, text: str) -> list[int]:
        """Return the ids of `text`, without start or stop tokens."""
        library = self.library
        with library_failures(self.path):
            return list(library.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of `ids`; special tokens give nothing.

        Raises:
            TokenizerError: an id is not in the vocabulary.
        """
        for i in ids:
            self._check_id(i)
        with library_failures(self.path):
            return str(self.library.decode(list(ids), skip_special_tokens=True))

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of each text, without start or stop tokens."""
        library = self.library
        with library_failures(self.path):
            found = library.encode_batch_fast(list(texts), add_special_tokens=False)
        return [list(encoding.ids) for encoding in found]

    def decode_batch(self, ids: Sequence[Sequence[int]]) -> list[str]:
        """Return the text of each list of ids, special tokens included."""
        library = self.library
        with library_failures(self.path):
            return list(library.decode_batch([list(i) for i in ids], skip_special_tokens=False))

    def id_bytes(self, token_id: int) -> bytes:
        """Return the bytes that a token adds to text, which need not be whole characters.

        Blanks are U+2581 where the file spells them so.

        Raises:
            TokenizerError: the id is not in the vocabulary.
        """
        if token_id in self._added:
            return self._added[token_id].encode()
        token = self.id_piece(token_id)
        data = token_bytes(token) if "ByteLevel" in self._decoders else None
        if data is None and "ByteFallback" in self._decoders and (byte := _BYTE.fullmatch(token)):
            data = bytes.fromhex(byte[1])
        return token.encode() if data is None else data

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
