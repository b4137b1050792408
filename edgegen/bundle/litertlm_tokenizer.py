"""The tokenizer's section of a `.litertlm`: SentencePiece's model, or a packed tokenizer.json."""

from __future__ import annotations

import zlib
from functools import cached_property

from edgegen.bundle.contents import Bundle, Member, Tokenizer
from edgegen.bundle.reading import read_member
from edgegen.bundle.tokenizer import MAX_TOKENIZER_BYTES, SentencePieceTokenizer
from edgegen.bundle.tokenizers.hugging_face import HfTokenizer
from edgegen.bundle.tokenizers.tokenizer_json import MAX_BYTES, parse_tokenizer_json
from edgegen.contract import HF_TOKENIZER, TASK_TOKENIZER
from edgegen.errors import BundleError


def read_tokenizer(bundle: Bundle) -> Tokenizer:
    """Return the tokenizer of a `.litertlm`.

    Raises:
        BundleError: there is none, or it is damaged.
        TokenizerError: it is not what its section says.
    """
    member = tokenizer_member(bundle)
    if member.role == HF_TOKENIZER:
        data = read_member(bundle.path, member, MAX_BYTES)
        return HfTokenizer(bundle.path, parse_tokenizer_json(bundle.path, _unpacked(bundle, data)))
    return SentencePieceTokenizer(
        bundle.path, read_member(bundle.path, member, MAX_TOKENIZER_BYTES)
    )


def tokenizer_member(bundle: Bundle) -> Member:
    """Return the section that holds the tokenizer; where there are two, Hugging Face's counts.

    Raises:
        BundleError: there is none.
    """
    return bundle.find(HF_TOKENIZER) or bundle.member(TASK_TOKENIZER)


class Pieces:
    """A bundle's tokenizer, read when LlmMetadata names a token by its id, which is rare."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        return read_tokenizer(self._bundle)

    def id_piece(self, token_id: int) -> str:
        """Return the piece of an id, or raise `TokenizerError`."""
        return self._tokenizer.id_piece(token_id)


def carried_tokenizer(tokenizer: Tokenizer) -> tuple[str, str, bytes]:
    """Return role, kind of section and content."""
    if isinstance(tokenizer, SentencePieceTokenizer):
        return TASK_TOKENIZER, "SP_Tokenizer", tokenizer.proto
    content = tokenizer.file.text.encode("utf-8")
    packed = len(content).to_bytes(8, "little") + zlib.compress(content)
    return HF_TOKENIZER, "HF_Tokenizer_Zlib", packed


def _unpacked(bundle: Bundle, data: bytes) -> bytes:
    """Return the tokenizer.json of its section: its size in 8 bytes, then zlib's."""
    size = int.from_bytes(data[:8], "little")
    if size > MAX_BYTES:
        raise BundleError(
            f"the tokenizer of {bundle.path} should have {size} bytes unpacked, expected at most "
            f"{MAX_BYTES}",
            "this is not a tokenizer; download or copy the bundle again",
        )
    unpack = zlib.decompressobj()
    try:
        # No more than that, whatever it would become.
        content = unpack.decompress(data[8:], size + 1)
    except zlib.error as error:
        raise BundleError(
            f"the tokenizer of {bundle.path} is damaged: {error}", "download or copy it again"
        ) from error
    if len(content) != size or not unpack.eof:
        raise BundleError(
            f"the tokenizer of {bundle.path} should have {size} bytes unpacked, and has not",
            "download or copy the bundle again",
        )
    return content
