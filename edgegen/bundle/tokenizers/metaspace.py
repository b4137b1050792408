"""BPE and Unigram over characters, with U+2581 for spaces: what once was SentencePiece."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from edgegen.bundle.tokenizers.charsmap import compile_charsmap
from edgegen.bundle.tokenizers.hugging_face import HfTokenizer
from edgegen.bundle.tokenizers.proto import (
    BPE,
    NO_PIECE,
    UNIGRAM,
    Normalizer,
    Piece,
    PieceType,
    model_proto,
)
from edgegen.bundle.tokenizers.tokenizer_json import TokenizerJson
from edgegen.errors import TokenizerError

_SPACE = "\u2581"
_CARRIED = "write a .litertlm, which carries tokenizer.json itself"
_BYTES = tuple(f"<0x{byte:02X}>" for byte in range(256))
# Below every merge: tokens that no merge makes.
_UNMERGED = -10_000_000.0


def bpe_model(original: HfTokenizer, size: int) -> bytes:
    """Convert a BPE tokenizer over characters, with or without byte fallback.

    Raises:
        TokenizerError: it does to text what is not known here.
    """
    file = original.file
    for key in ("dropout", "continuing_subword_prefix", "end_of_word_suffix"):
        if file.model.get(key):
            _refuse(file, f"model.{key}", file.model[key], "none")
    ranks: dict[str, int] = {}
    for rank, (left, right) in enumerate(file.merges):
        ranks.setdefault(left + right, rank)
    scores = {t: -float(ranks[t]) if t in ranks else _UNMERGED for t in file.vocab}
    return _model(file, size, scores, file.model.get("unk_token"), BPE)


def unigram_model(original: HfTokenizer, size: int) -> bytes:
    """Convert a Unigram tokenizer.

    Raises:
        TokenizerError: it does to text what is not known here.
    """
    file = original.file
    unknown = file.model.get("unk_id")
    names: dict[object, str] = {number: token for token, number in file.vocab.items()}
    scores = {token: file.scores[number] for token, number in file.vocab.items()}
    return _model(file, size, scores, names.get(unknown), UNIGRAM)


def _model(
    file: TokenizerJson,
    size: int,
    scores: Mapping[str, float],
    unknown: str | None,
    model_type: int,
) -> bytes:
    fallback = bool(file.model.get("byte_fallback")) and all(name in file.vocab for name in _BYTES)
    pieces = [Piece(f"<unused {n}>", 0.0, PieceType.UNUSED) for n in range(max(file.size, size))]
    for token, number in file.vocab.items():
        if "\0" in token:  # which no piece can hold
            continue
        kind = PieceType.BYTE if fallback and token in _BYTES else PieceType.NORMAL
        pieces[number] = Piece(token, scores[token], kind)
    for added in file.added_tokens:
        pieces[added.id] = Piece(added.content, 0.0, PieceType.USER_DEFINED)
    if unknown is None or unknown not in file.vocab or fallback:
        # With a piece for every byte nothing is unknown, and the token's name may stand in text.
        pieces.append(Piece(NO_PIECE, 0.0, PieceType.UNKNOWN))
    else:
        pieces[file.vocab[unknown]] = Piece(unknown, 0.0, PieceType.UNKNOWN)
    return model_proto(
        pieces, model_type=model_type, normalizer=_normalizer(file), byte_fallback=fallback
    )


def _normalizer(file: TokenizerJson) -> Normalizer:
    """Read what is done to text before it is cut."""
    prefix = strip = False
    spaces = False
    charsmap = b""
    for part in file.normalizers:
        kind = part["type"]
        if kind == "Prepend" and part.get("prepend") == _SPACE:
            prefix = True
        elif kind == "Replace" and _is(part, {"String": " "}, _SPACE):
            spaces = True
        elif kind == "Replace" and _is(part, {"Regex": " {2,}"}, " ", _SPACE):
            strip = True
        elif kind == "Strip" and part.get("strip_right"):
            strip = True  # SentencePiece does both or none; the gate tells whether it matters
        elif kind == "Precompiled":
            charsmap = base64.b64decode(part["precompiled_charsmap"])
        elif kind == "NFC":
            from edgegen.bundle.tokenizers.unicode_forms import nfc_rules

            charsmap = compile_charsmap({k.encode(): v.encode() for k, v in nfc_rules().items()})
        else:
            _refuse(
                file,
                "normalizer",
                kind,
                "Prepend and Replace of U+2581, Strip, Precompiled or NFC",
            )
    for part in file.pre_tokenizers:
        if part["type"] == "Metaspace" and part.get("replacement", _SPACE) == _SPACE:
            spaces = True
            scheme = part.get("prepend_scheme", "always")
            prefix = prefix or (scheme != "never" and part.get("add_prefix_space", True))
        elif part["type"] == "WhitespaceSplit":
            strip = True
        elif part["type"] == "Split" and part.get("pattern") == {"String": " "}:
            pass  # Gemma's: no blank is left by then
        else:
            _refuse(file, "pre_tokenizer", part["type"], "Metaspace")
    return Normalizer(charsmap, prefix, strip, spaces)


def _is(part: Mapping[str, Any], pattern: Mapping[str, str], *contents: str) -> bool:
    return part.get("pattern") == pattern and part.get("content") in contents


def _refuse(file: TokenizerJson, where: str, found: Any, expected: str) -> None:
    raise TokenizerError(
        f"{file.path} has {where} {found}, expected {expected} in a {file.kind} tokenizer",
        _CARRIED,
    )
