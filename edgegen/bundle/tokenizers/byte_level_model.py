"""The SentencePiece model of a byte-level BPE tokenizer, put together."""

from __future__ import annotations

from typing import Any

from edgegen.bundle.tokenizers import byte_alphabet
from edgegen.bundle.tokenizers.byte_alphabet import gpt2_characters, plain_characters, spell
from edgegen.bundle.tokenizers.byte_level import (
    ByteVocabulary,
    Tier,
    score,
    token_pieces,
    unused_piece,
)
from edgegen.bundle.tokenizers.charsmap import compile_charsmap
from edgegen.bundle.tokenizers.endings import ending_pieces, ending_rules, ending_tokens
from edgegen.bundle.tokenizers.hugging_face import HfTokenizer
from edgegen.bundle.tokenizers.joins import Joins, find_joins, leading_pieces
from edgegen.bundle.tokenizers.proto import (
    BPE,
    NO_PIECE,
    Normalizer,
    Piece,
    PieceType,
    model_proto,
)
from edgegen.bundle.tokenizers.tokenizer_json import TokenizerJson
from edgegen.bundle.tokenizers.unicode_forms import nfc_rules
from edgegen.bundle.tokenizers.virtual_pieces import virtual_pieces
from edgegen.errors import TokenizerError

_CARRIED = "write a .litertlm, which carries tokenizer.json itself"


def byte_level_model(original: HfTokenizer, size: int, *, mapped: bool) -> bytes:
    """Convert a byte-level BPE tokenizer.

    Args:
        original: The tokenizer.
        size: How many ids to fill; virtual pieces come after them.
        mapped: Whether the engine maps bytes to GPT-2's characters before SentencePiece and
            back after it.

    Raises:
        TokenizerError: it does to text what is not known here.
    """
    file = original.file
    _check(file)
    alphabet = gpt2_characters() if mapped else plain_characters()
    vocabulary = ByteVocabulary.read(original, marked=not mapped)
    joins = Joins() if mapped else find_joins(vocabulary, _respelled(file))

    def write(token: bytes) -> str:
        return spell(token, alphabet) if mapped else joins.spell(token)

    pieces = token_pieces(file, vocabulary, write)
    for token in file.added_tokens:
        text = spell(token.content.encode(), gpt2_characters()) if mapped else token.content
        pieces[token.id] = Piece(text, type=PieceType.USER_DEFINED)
    pieces += [unused_piece(number) for number in range(len(pieces), size)]
    pieces.append(Piece(NO_PIECE, type=PieceType.UNKNOWN))
    if not mapped:
        for data, text in ending_tokens(vocabulary).items():
            number = vocabulary.ids[data]
            pieces[number] = Piece(text, pieces[number].score)
        pieces += ending_pieces(vocabulary)
    leading = leading_pieces(vocabulary, joins)
    pieces = [
        Piece(piece.text, score(Tier.NUMBER)) if leading.get(piece.text) else piece
        for piece in pieces
    ]
    pieces += [
        Piece(text, score(Tier.NUMBER), PieceType.UNUSED)
        for text, is_token in sorted(leading.items())
        if not is_token
    ]
    taken = {piece.text for piece in pieces}
    virtual = virtual_pieces(vocabulary, alphabet, write, endings_spelled=not mapped)
    pieces += [piece for piece in virtual if piece.text not in taken]
    if not mapped:
        # All 256 must be there for the one that is needed: a zero byte.
        pieces += [
            Piece(name, type=PieceType.BYTE)
            for name in (f"<0x{byte:02X}>" for byte in range(256))
            if name not in taken
        ]
    return model_proto(
        pieces,
        model_type=BPE,
        normalizer=Normalizer(_charsmap(file, vocabulary, joins, mapped)),
        denormalizer=b"" if mapped else byte_alphabet.denormalizer(),
        byte_fallback=not mapped,
    )


def _charsmap(file: TokenizerJson, vocabulary: ByteVocabulary, joins: Joins, mapped: bool) -> bytes:
    missing = [byte for byte in range(256) if bytes([byte]) not in vocabulary.ids]
    alphabet = gpt2_characters() if mapped else plain_characters()
    if mapped:
        rules = {alphabet[byte].encode(): b"" for byte in missing}
    else:
        rules = {
            **ending_rules(vocabulary),
            **byte_alphabet.byte_rules(missing),
            **joins.rules,
        }
    for text, composed in _respelled(file).items():
        key, becomes = text.encode(), composed.encode()
        if mapped:
            rules[spell(key, alphabet).encode()] = spell(becomes, alphabet).encode()
        else:
            rules[key] = joins.spell(becomes).encode()
    return compile_charsmap(rules) if rules else b""


def _respelled(file: TokenizerJson) -> dict[str, str]:
    """Return what the file's normalizer makes something else of."""
    return nfc_rules() if any(part["type"] == "NFC" for part in file.normalizers) else {}


def _check(file: TokenizerJson) -> None:
    for part in file.normalizers:
        if part["type"] != "NFC":
            _refuse(file, "normalizer", part["type"], "none or NFC")
    for part in file.pre_tokenizers:
        if part["type"] not in ("ByteLevel", "Split", "Digits"):
            _refuse(file, "pre_tokenizer", part["type"], "ByteLevel, Split or Digits")
        if part.get("add_prefix_space"):
            _refuse(file, "pre_tokenizer", "ByteLevel(add_prefix_space=true)", "false")
    for key in ("dropout", "continuing_subword_prefix", "end_of_word_suffix"):
        if file.model.get(key):
            _refuse(file, f"model.{key}", file.model[key], "none")


def _refuse(file: TokenizerJson, where: str, found: Any, expected: str) -> None:
    raise TokenizerError(
        f"{file.path} has {where} {found}, expected {expected} in a byte-level tokenizer", _CARRIED
    )
