"""`'s`, `'ve` and their like, which patterns cut off words, told apart by what is around them.

`don't` is cut before `'t`, `('t` is not: there the apostrophe belongs to the symbols. Charsmap
rules see both, and spell the letters of an ending in characters of their own, so that only the
token of the ending can be made of them.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from functools import cache
from itertools import product

from edgegen.bundle.tokenizers.byte_alphabet import detached, plain_characters, spell
from edgegen.bundle.tokenizers.byte_level import ByteVocabulary, Tier, score
from edgegen.bundle.tokenizers.characters import SYMBOL, character_class
from edgegen.bundle.tokenizers.proto import Piece, PieceType

# Longest row of them that is looked at, by itself or after ASCII, and after other symbols.
_APOSTROPHES, _AFTER_OTHERS = 8, 3


def ending_tokens(vocabulary: ByteVocabulary) -> dict[bytes, str]:
    """Return the tokens of endings, and how they are spelled."""
    forms = (
        bytes(form)
        for ending in sorted(vocabulary.cuts.contractions)
        for form in _cases(ending.encode(), vocabulary.cuts.any_case)
    )
    return {
        form: chr(form[0]) + detached(form[1:])
        for form in forms
        if form in vocabulary.ids and form not in vocabulary.whole_words
    }


def ending_pieces(vocabulary: ByteVocabulary) -> Iterator[Piece]:
    """Yield virtual pieces: on the way to an ending of two letters, and to hold spaces back."""
    spellings = sorted(ending_tokens(vocabulary).values())
    for text in sorted({spelled[:2] for spelled in spellings if len(spelled) > 2}):
        if text not in spellings:
            yield Piece(text, score(Tier.ENDING), PieceType.UNUSED)
    for space, name in sorted(vocabulary.cuts.held_back):
        if name == SYMBOL:
            for text in spellings:
                yield Piece(space + text, score(Tier.SPACE_SHIELD), PieceType.UNUSED)


def ending_rules(vocabulary: ByteVocabulary) -> dict[bytes, bytes]:
    """Return the charsmap rules that find endings."""
    endings = ending_tokens(vocabulary)
    if not endings:
        return {}
    rules = {token: spelled.encode() for token, spelled in endings.items()}
    # What the vocabulary has no token for is spelled by nothing, here as elsewhere.
    alphabet = tuple(
        character if bytes([byte]) in vocabulary.ids else ""
        for byte, character in enumerate(plain_characters())
    )
    for left in ("", " ", *_symbols()):
        for count in range(
            1 if left else 2, (_APOSTROPHES if left.isascii() else _AFTER_OTHERS) + 1
        ):
            text = (left + "'" * count).encode()
            rules[text] = spell(text, alphabet).encode()
    return rules


def _cases(ending: bytes, any_case: bool) -> Iterator[tuple[int, ...]]:
    if not any_case:
        yield tuple(ending)
        return
    letters = ({byte, bytes([byte]).upper()[0]} for byte in ending)
    yield from product(*map(sorted, letters))


@cache
def _symbols() -> tuple[str, ...]:
    """Every symbol and mark that has a name; the apostrophe's rows are rules of their own."""
    return tuple(
        character
        for character in map(chr, (*range(1, 0xE000), *range(0xF900, 0x20000)))
        if character != "'"
        and character_class(character) == SYMBOL
        and unicodedata.category(character) not in ("Cn", "Co", "Cs")
    )
