"""SentencePiece's ModelProto, written a field at a time.

Its own Python classes need protobuf and check that every piece is UTF-8; these few lines do
neither. Field numbers are those of `sentencepiece_model.proto` (SentencePiece 0.2).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum


class PieceType(IntEnum):
    """What SentencePiece does with a piece."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3  # never found in text, gives no text
    USER_DEFINED = 4  # found in text before all else, never merged
    UNUSED = 5  # takes part in merging, is taken apart again at the end
    BYTE = 6  # what unknown characters fall back to


@dataclass(frozen=True)
class Piece:
    """One entry of the vocabulary.

    Attributes:
        text: How it is spelled.
        score: BPE merges the highest first; Unigram adds them up.
        type: What SentencePiece does with it.
    """

    text: str
    score: float = 0.0
    type: PieceType = PieceType.NORMAL


@dataclass(frozen=True)
class Normalizer:
    """A NormalizerSpec.

    Attributes:
        charsmap: What `compile_charsmap` returned; empty for none.
        add_dummy_prefix: Put a space before the text.
        remove_extra_whitespaces: Strip the text and make one space of several.
        escape_whitespaces: Spell spaces U+2581.
    """

    charsmap: bytes = b""
    add_dummy_prefix: bool = False
    remove_extra_whitespaces: bool = False
    escape_whitespaces: bool = False


UNIGRAM, BPE = 1, 2

# Ends the ids that text becomes; what comes after it is virtual. SentencePiece wants one piece
# for what is unknown, and in converted models nothing is.
NO_PIECE = "<no piece>"

_PIECES, _TRAINER, _NORMALIZER, _DENORMALIZER = 1, 2, 3, 5


def model_proto(
    pieces: Sequence[Piece],
    *,
    model_type: int,
    normalizer: Normalizer,
    denormalizer: bytes = b"",
    byte_fallback: bool = False,
) -> bytes:
    """Serialize a model.

    Args:
        pieces: The vocabulary; a piece's id is its place. Exactly one is `UNKNOWN`.
        model_type: `UNIGRAM` or `BPE`.
        normalizer: What happens to text before it is cut.
        denormalizer: Charsmap for decoded text; empty for none.
        byte_fallback: Spell unknown characters with the 256 `BYTE` pieces.
    """
    parts = [_message(_PIECES, _piece(piece)) for piece in pieces]
    unknown = next(i for i, piece in enumerate(pieces) if piece.type is PieceType.UNKNOWN)
    trainer = _number(3, model_type) + _number(4, len(pieces)) + _number(35, int(byte_fallback))
    trainer += _number(40, unknown)
    # No piece stands for start, stop or padding: engines are told by name in METADATA.
    trainer += b"".join(_number(field, -1) for field in (41, 42, 43))
    # What an unknown piece reads as; SentencePiece's own is a question mark.
    trainer += _message(44, pieces[unknown].text.encode())
    trainer += _message(45, pieces[unknown].text.encode())
    parts.append(_message(_TRAINER, trainer))
    parts.append(_message(_NORMALIZER, _normalizer(normalizer)))
    if denormalizer:
        parts.append(_message(_DENORMALIZER, _normalizer(Normalizer(denormalizer))))
    return b"".join(parts)


def with_pieces(proto: bytes, pieces: Sequence[Piece]) -> bytes:
    """Append pieces to a serialized model: in a protocol buffer, that is what the end is."""
    return proto + b"".join(_message(_PIECES, _piece(piece)) for piece in pieces)


def _piece(piece: Piece) -> bytes:
    kind = b"" if piece.type is PieceType.NORMAL else _number(3, piece.type)
    return _message(1, piece.text.encode()) + b"\x15" + struct.pack("<f", piece.score) + kind


def _normalizer(spec: Normalizer) -> bytes:
    content = _message(1, b"edgegen")
    if spec.charsmap:
        content += _message(2, spec.charsmap)
    content += _number(3, int(spec.add_dummy_prefix))
    content += _number(4, int(spec.remove_extra_whitespaces))
    return content + _number(5, int(spec.escape_whitespaces))


def _message(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value & (2**64 - 1))


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)
