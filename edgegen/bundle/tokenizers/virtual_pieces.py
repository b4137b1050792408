"""Pieces that are in no vocabulary and hold others apart: what stands in for cuts.

SentencePiece takes a merge that made an `UNUSED` piece back at the end. Until then its two parts
are taken, and cannot merge with anything else. Their ids come after the vocabulary and are never
given out.

Some tokens are given to a word that is just them, though merging would not make them
(`ignore_merges`). Virtual pieces lead to them from the parts that merging makes.

A space shield joins the last space of a run to the word after it, where no merge of the
vocabulary does: two line breaks before a word are cut apart, so they must not merge. A symbol
shield joins the last symbol of a run to the one before it: of `%#(do`, `(do` must not become one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator

from edgegen.bundle.tokenizers.byte_alphabet import spell
from edgegen.bundle.tokenizers.byte_level import ByteVocabulary, Tier, score
from edgegen.bundle.tokenizers.characters import (
    LETTER,
    NUMBER,
    SPACE,
    SYMBOL,
    character_class,
    is_mark,
)
from edgegen.bundle.tokenizers.proto import Piece, PieceType

# Longer runs of symbols end in what merges with the symbol before.
_MAX_SHIELDED_BYTES = 4
# A zero byte, which no piece holds, and what stands for damaged text, mostly in long rows.
_DAMAGED = "\0\ufffd"


def virtual_pieces(
    vocabulary: ByteVocabulary,
    alphabet: tuple[str, ...],
    write: Callable[[bytes], str],
    *,
    endings_spelled: bool,
) -> list[Piece]:
    """Return the shields of a vocabulary.

    Args:
        vocabulary: The vocabulary.
        alphabet: What they are spelled in.
        write: Spells what is part of a token.
        endings_spelled: Whether endings have spellings of their own (`endings`), so that an
            apostrophe after a symbol needs no shield.
    """
    spellings: dict[bytes, float] = {}
    beginnings = dict(_beginnings(vocabulary))
    symbols = dict(
        () if endings_spelled and not vocabulary.cuts.joins_symbol else _symbol_shields(vocabulary)
    )
    for parts in (
        symbols.items(),
        _space_shields(vocabulary),
        _number_shields(vocabulary),
        beginnings.items(),
        _character_shields(vocabulary),
        _digit_rows(vocabulary),
    ):
        for text, value in parts:
            if text not in vocabulary.ids:
                spellings.setdefault(text, value)
    return [
        Piece(
            write(text) if text in beginnings or text in symbols else spell(text, alphabet),
            value,
            PieceType.UNUSED,
        )
        for text, value in spellings.items()
    ]


def _symbol_shields(vocabulary: ByteVocabulary) -> Iterator[tuple[bytes, float]]:
    """Keep the last symbol of a run from the letters after it."""
    ids = vocabulary.ids
    if vocabulary.cuts.joins_symbol:
        joining = {
            found.text[0].encode()
            for found in vocabulary.units.values()
            if found.classes[:2] == SYMBOL + LETTER and not found.head
        }
    else:
        joining = {b"'"} if vocabulary.cuts.contractions else set()
    last = sorted(symbol for symbol in joining & set(ids) if symbol.isascii() and symbol != b"\0")
    alone = [
        token
        for token, found in vocabulary.units.items()
        if found.whole
        and found.classes == SYMBOL
        and found.text not in _DAMAGED
        and not (vocabulary.cuts.joins_marks and is_mark(found.text))
    ]
    damaged = [
        token
        for token, found in vocabulary.units.items()
        if set(found.text) == {"\ufffd"} and found.whole
    ]
    runs = [
        token
        for token, tier in vocabulary.tiers.items()
        if tier is Tier.SYMBOLS
        and not token.endswith((b"\n", b"\r"))
        and len(token) <= _MAX_SHIELDED_BYTES
        and b"\0" not in token
    ]
    for symbol in last:
        # Of three that do not merge the last two go first, so two symbols go before longer runs.
        for left in (*alone, b" "):
            yield left + symbol, score(Tier.SYMBOL_SHIELD)
        for left in runs:
            # Otherwise it is made of other two, and leaves the symbol after it unguarded.
            if vocabulary.parts(left + symbol)[-1] == symbol:
                yield left + symbol, score(Tier.SYMBOL_SHIELD, 1)
        for left in damaged:
            yield left + symbol, score(Tier.SYMBOL_SHIELD, 1)
    for left in (*filter(bytes.isascii, alone), *damaged) if last and damaged else ():
        yield left + "\ufffd".encode(), score(Tier.SYMBOL_SHIELD, 1)
        for symbol in last:
            yield left + "\ufffd".encode() + symbol, score(Tier.SYMBOL_SHIELD, 2)
    if vocabulary.cuts.joins_symbol:
        yield from _rows_of_three(vocabulary, alone, last)


def _rows_of_three(
    vocabulary: ByteVocabulary, alone: list[bytes], last: list[bytes]
) -> Iterator[tuple[bytes, float]]:
    ids = vocabulary.ids
    for first in filter(bytes.isascii, alone):
        for second in last:
            if first + second in ids:
                continue
            for third in last:
                if second + third not in ids:
                    yield first + second + third, score(Tier.SYMBOL_SHIELD, 2)


def _space_shields(vocabulary: ByteVocabulary) -> Iterator[tuple[bytes, float]]:
    """Keep the last space of a run from the others."""
    held_back = defaultdict(set)
    for space, name in vocabulary.cuts.held_back:
        held_back[space].add(name)
    runs = [
        u.text for token, u in vocabulary.units.items() if vocabulary.tiers[token] is Tier.SPACES
    ]
    spaces = [
        (space.encode(), names)
        for space, names in sorted(held_back.items())
        if any(space in run[1:] for run in runs) and space.encode() in vocabulary.ids
    ]
    for token, name in _words(vocabulary) if spaces else ():
        for first, names in spaces:
            together = first + token
            if name not in names or together in vocabulary.ids:
                continue
            # Most words merge with a blank before them, or their beginnings do.
            if first in b" \t" and len(vocabulary.merged(together)) != 2:
                continue
            yield together, score(Tier.SPACE_SHIELD)


def _words(vocabulary: ByteVocabulary) -> Iterator[tuple[bytes, str]]:
    """Yield the tokens that a word can begin with, and the class of their first character."""
    for token, found in vocabulary.units.items():
        if found.head or b"\0" in token or found.classes[:1] == SPACE:
            continue
        if token in vocabulary.unreachable:
            continue
        yield token, found.classes[0] if found.text else _class_of_beginning(found.tail)


def _class_of_beginning(tail: bytes) -> str:
    # Most of U+2000 to U+2FFF, and most characters of four bytes, are symbols.
    return SYMBOL if tail[0] in (0xE2, 0xF0) else LETTER


def _beginnings(vocabulary: ByteVocabulary) -> Iterator[tuple[bytes, float]]:
    """Lead from the first part of a whole word to the last."""
    for parts in vocabulary.whole_words.values():
        for count in range(2, len(parts)):
            yield b"".join(parts[:count]), score(Tier.WHOLE_WORD)


def _number_shields(vocabulary: ByteVocabulary) -> Iterator[tuple[bytes, float]]:
    """Keep the two bytes of a number together, whose first would merge with a space."""
    if not vocabulary.cuts.lone_numbers:
        return
    rows = (u.text for u in vocabulary.units.values() if len(u.classes) > 1)
    in_rows = {c for text in rows for c in text if character_class(c) == NUMBER}
    for character in map(chr, range(0x80, 0x800)):
        if character_class(character) == NUMBER and character not in in_rows:
            yield character.encode(), score(Tier.NUMBER)


def _character_shields(vocabulary: ByteVocabulary) -> Iterator[tuple[bytes, float]]:
    """Keep numbers and odd spaces together, just before a blank would take their first bytes."""
    held_back = (" ", NUMBER) in vocabulary.cuts.held_back
    for character in sorted(vocabulary.cut_off):
        data = character.encode()
        if vocabulary.marked and character_class(character) == SPACE:
            continue
        crossing = vocabulary.crossing_rank(data)
        parts = vocabulary.parts(data)
        # Of three parts the first two would have to go together, and other characters have them.
        if crossing is None or (len(parts) != 2 and not vocabulary.marked):
            continue
        if vocabulary.marked:
            for count in range(2, len(parts) + 1):
                yield b"".join(parts[:count]), score(Tier.WHOLE_WORD)
        else:
            yield data, score(Tier.WORD, crossing) + 0.5
        if held_back and character_class(character) == NUMBER:
            yield b" " + data, score(Tier.SPACE_SHIELD)


def _digit_rows(vocabulary: ByteVocabulary) -> Iterator[tuple[bytes, float]]:
    """Keep together what is cut together, where the vocabulary has no token for it."""
    for count in range(2, vocabulary.cuts.digits + 1):
        for number in range(10**count):
            yield f"{number:0{count}}".encode(), score(Tier.DIGITS, 0 if count > 2 else 1)
