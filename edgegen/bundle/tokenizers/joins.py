"""Spaces that merge with what follows, told apart from those that are cut off it.

A blank and the first bytes of a quotation mark are one token; before an odd space or a number
with the same first bytes, the blank is cut off. Merging sees bytes and cannot tell. The charsmap
sees characters: it spells a space that merges by a mark of its own, and tokens that begin so are
spelled with the mark, too. A space that is cut off keeps its spelling, which merges with nothing.

    blank, `—`           the mark, the three bytes
    blank, U+2003, `a`   blank, the three bytes, `a`
    blank, U+2003        the mark, the three bytes: at the end of a run of spaces nothing is cut
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache

from edgegen.bundle.tokenizers.byte_alphabet import (
    JOINED_SPACES,
    joined,
    plain_characters,
    spell,
    whole,
)
from edgegen.bundle.tokenizers.byte_level import ByteVocabulary
from edgegen.bundle.tokenizers.characters import (
    NUMBER,
    SPACE,
    SPACES,
    SYMBOL,
    character_bytes,
    character_class,
)

_ODD = tuple(sorted(space for space in SPACES if not space.isascii()))
_APOSTROPHES = 3


@dataclass(frozen=True)
class Joins:
    """The marks of a vocabulary.

    Attributes:
        starts: A space, and the first bytes of what the marks tell apart after it.
        wholes: Symbols that are spelled by a character of their own.
        apart: A space, and one of these symbols whose first bytes merge with it.
        bare: Words that are taken as a whole, and beginnings of them, in which the space does not
            merge with what is after it.
        rules: Charsmap rules.
    """

    starts: frozenset[tuple[str, bytes]] = frozenset()
    wholes: frozenset[str] = frozenset()
    apart: frozenset[tuple[str, str]] = frozenset()
    bare: frozenset[bytes] = frozenset()
    rules: dict[bytes, bytes] = field(default_factory=dict, repr=False)

    def spell(self, token: bytes) -> str:
        """Write a token as the rules write the text that it comes from."""
        if token.isascii():  # no mark is made before that
            return spell(token, plain_characters())
        parts: list[str] = []
        at = 0
        if token in self.bare:
            at = len(_first(token))
            parts.append(spell(token[:at], plain_characters()))
        while at < len(token):
            part = _first(token[at:])
            at += len(part)
            character, after = part.decode(errors="ignore"), token[at:]
            if character in self.wholes:
                parts.append(whole(character))
            elif character in JOINED_SPACES and self.tells(character, after):
                # One rule takes both, so what is after the mark is not marked.
                following = _first(after)
                parts += (joined(character), self.spell_after(character, following))
                at += len(following)
            else:
                parts.append(spell(part, plain_characters()))
        return "".join(parts)

    def spell_after(self, space: str, data: bytes) -> str:
        """Write what is after the mark of a space: a character, or the beginning of one."""
        character = data.decode(errors="ignore")
        if character in self.wholes and (space, character) not in self.apart:
            return whole(character)
        return spell(data, plain_characters())

    def tells(self, space: str, after: bytes) -> bool:
        """Whether marks tell if a space merges with what is after it."""
        return any((space, after[:n]) in self.starts for n in (1, 2, 3))


def _first(data: bytes) -> bytes:
    """Return the first character, or what is there of one."""
    return data[: character_bytes(data[0]) or 1] if data else b""


def find_joins(vocabulary: ByteVocabulary, respelled: Mapping[str, str]) -> Joins:
    """Find out which spaces of a vocabulary need marks, and write the rules for them.

    Args:
        vocabulary: The vocabulary.
        respelled: What the charsmap makes something else of, which a mark must not prevent.
    """
    spaces = [s for s in sorted(SPACES) if len(vocabulary.merged(s.encode()))]
    starts = set()
    for space in spaces:
        cut = [*_ODD, *(_numbers() if _is_cut(vocabulary, space, "½") else ())]
        cut += vocabulary.wholes if space == " " else ()
        starts |= {
            (space, _start(vocabulary, space, character))
            for character in cut
            if _crosses(vocabulary, space, character.encode())
        }
    # A mark by itself is no token, so there must be one of it with what always follows it.
    starts = {(space, start) for space, start in starts if space.encode() + start in vocabulary.ids}
    apart = {
        (space, c)
        for space, start in starts
        for c in vocabulary.wholes
        if c.encode().startswith(start) and (space + c).encode() not in vocabulary.ids
    }
    bare = {
        b"".join(parts[:count])
        for parts in vocabulary.whole_words.values()
        for count in range(2, len(parts) + 1)
        if parts[0] in [space.encode() for space in spaces]
    }
    joins = Joins(frozenset(starts), vocabulary.wholes, frozenset(apart), frozenset(bare))
    rules = {c.encode(): whole(c).encode() for c in vocabulary.wholes}
    if vocabulary.cuts.contractions:
        for character in vocabulary.wholes:
            for count in range(1, _APOSTROPHES + 1):
                row = b"'" * count
                rules[character.encode() + row] = whole(character).encode() + row
    for space, start in sorted(starts):
        rules.update(_character_rules(vocabulary, joins, space, start))
        for odd in _ODD:
            if odd.encode().startswith(start):
                rules.update(_pair_rules(vocabulary, space, odd))
    for text, becomes in respelled.items():
        data = text.encode()
        for space, start in starts:
            begins = (becomes if text[0].isascii() else text).encode().startswith(start)
            if begins and becomes[0] not in SPACES:
                rule = _rule(vocabulary, joins, space, becomes.encode())
                rules[space.encode() + data] = rule[1]
    return replace(joins, rules=rules)


def _rule(vocabulary: ByteVocabulary, joins: Joins, space: str, data: bytes) -> tuple[bytes, bytes]:
    """Return the rule for a space and what is after it."""
    first = _first(data)
    cut = _is_cut(vocabulary, space, first.decode())
    if not cut and _crosses(vocabulary, space, data):
        begun = joined(space) + joins.spell_after(space, first)
    else:
        begun = spell(space.encode(), _alphabet(vocabulary)) + joins.spell(first)
    return space.encode() + data, (begun + joins.spell(data[len(first) :])).encode()


def leading_pieces(vocabulary: ByteVocabulary, joins: Joins) -> dict[str, bool]:
    """Return what must merge before all else, so that no mark is left alone.

    Returns:
        Spelling -> whether it is a token; others only lead to one.
    """
    pieces: dict[str, bool] = {}
    for space, start in joins.starts:
        head = space.encode()
        for n in range(1, len(start) + 1):
            pieces[joined(space) + spell(start[:n], plain_characters())] = (
                head + start[:n] in vocabulary.ids
            )
        for character in vocabulary.wholes:
            if character.encode().startswith(start) and (space, character) not in joins.apart:
                pieces[joined(space) + whole(character)] = True
        for token in vocabulary.ids:
            if token.startswith(head + start):
                first = _first(token[len(head) :])
                if joins.spell_after(space, first) != spell(first, plain_characters()):
                    continue
                if _goes_on_inside(vocabulary, token, head, start):
                    continue
                for n in range(len(start) + 1, len(first) + 1):
                    if head + first[:n] not in vocabulary.ids:
                        text = joined(space) + spell(first[:n], plain_characters())
                        pieces.setdefault(text, False)
    return pieces


def _goes_on_inside(vocabulary: ByteVocabulary, token: bytes, head: bytes, start: bytes) -> bool:
    """Whether merging makes a token of `head` with `start`, and all that is after them.

    Then the rest of the first character merges with the next one before it would with `start`.
    """
    never = len(vocabulary.ranks)
    rest, word = token[len(head) + len(start) :], token[len(head) :]
    if len(rest) + len(start) <= len(_first(word)):
        return False
    ranks = [vocabulary.ranks.get(text, never) for text in (rest, token, word)]
    return ranks[0] < ranks[1] < ranks[2]


def _start(vocabulary: ByteVocabulary, space: str, character: str) -> bytes:
    """Return the bytes of a character that a space must be told from others by."""
    data = character.encode()
    ranks = vocabulary.ranks
    first, pair = ranks.get(space.encode() + data[:1]), ranks.get(data[:2])
    pairs_first = first is None or (pair is not None and pair < first)
    least = 2 if len(data) == 4 or (len(data) == 3 and pairs_first) else 1
    head = space.encode()
    return next(
        (data[:n] for n in range(least, len(data) + 1) if head + data[:n] in vocabulary.ids),
        data,
    )


def _crosses(vocabulary: ByteVocabulary, space: str, after: bytes) -> bool:
    """Whether a space merges with the first bytes after it where nothing cuts."""
    return vocabulary.merged_parts(space.encode() + after)[:1] != [space.encode()] and (
        space.isascii() or not _ends_at(vocabulary, space, after)
    )


def _ends_at(vocabulary: ByteVocabulary, space: str, after: bytes) -> bool:
    at = 0
    for part in vocabulary.merged_parts(space.encode() + after):
        at += len(part)
        if at >= len(space.encode()):
            break
    return at == len(space.encode())


def _is_cut(vocabulary: ByteVocabulary, space: str, character: str) -> bool:
    cuts = vocabulary.library.pre_tokenizer.pre_tokenize_str(space + character)
    return len(cuts) > 1


def _character_rules(
    vocabulary: ByteVocabulary, joins: Joins, space: str, start: bytes
) -> Iterator[tuple[bytes, bytes]]:
    """Mark the space before what it merges with."""
    alphabet = _alphabet(vocabulary)
    head = space.encode()

    def rule(data: bytes) -> tuple[bytes, bytes]:
        return _rule(vocabulary, joins, space, data)

    marked: list[bytes] = []
    others: list[bytes] = []
    for character in _characters(start):
        data = character.encode()
        if character in SPACES:
            others.append(data)
        elif _is_cut(vocabulary, space, character):
            others.append(data)
            if character in vocabulary.wholes:
                yield head + data, (spell(head, alphabet) + whole(character)).encode()
        elif not _crosses(vocabulary, space, data):
            others.append(data)
        else:
            marked.append(data)
            if vocabulary.cuts.contractions and character_class(character) == SYMBOL:
                # After a symbol, an apostrophe begins no ending: see `endings`.
                key, spelled = rule(data)
                for count in range(1, _APOSTROPHES + 1):
                    yield key + b"'" * count, spelled + b"'" * count
    for prefix in _prefixes(start, marked, others):
        yield head + prefix, (joined(space) + spell(prefix, alphabet)).encode()
    merging = set(marked)
    for character in vocabulary.wholes:
        if character.encode() in merging:
            yield rule(character.encode())
    yield from map(rule, _exceptions(vocabulary, space, start, merging))


def _exceptions(
    vocabulary: ByteVocabulary, space: str, start: bytes, merging: set[bytes]
) -> list[bytes]:
    """Return the tokens before which a space does what it does not before their first character.

    What follows may merge first and leave the space alone.
    """
    found: list[bytes] = []
    for token in sorted(vocabulary.ids):  # a token comes after its beginnings
        text = vocabulary.units[token].text
        if not token.startswith(start) or not text or text[0] in SPACES:
            continue
        first = text[0].encode()
        if len(token) == len(first) or _is_cut(vocabulary, space, text[0]):
            continue
        other = _crosses(vocabulary, space, token) != (first in merging)
        if other or any(token.startswith(begun) for begun in found):
            found.append(token)
    return found


def _prefixes(start: bytes, marked: list[bytes], others: list[bytes]) -> Iterator[bytes]:
    """Yield the shortest beginnings that all of `marked` and none of `others` have."""
    if not marked:
        return
    if not others or marked == [start]:
        yield start
        return
    length = len(start) + 1
    for following in sorted({data[:length] for data in marked}):
        yield from _prefixes(
            following,
            [data for data in marked if data.startswith(following)],
            [data for data in others if data.startswith(following)],
        )


def _pair_rules(vocabulary: ByteVocabulary, space: str, odd: str) -> Iterator[tuple[bytes, bytes]]:
    """Keep a space from an odd one that a word follows, and mark it where none does."""
    alphabet = _alphabet(vocabulary)
    pair = (space + odd).encode()
    cut = spell(pair, alphabet).encode()
    if not _crosses(vocabulary, space, odd.encode()):
        yield pair, cut
        return
    yield pair, (joined(space) + spell(odd.encode(), alphabet)).encode()
    for after in _beginnings():
        yield pair + after, cut + spell(after, alphabet).encode()
    for symbol in vocabulary.wholes:
        yield pair + symbol.encode(), cut + whole(symbol).encode()


def _alphabet(vocabulary: ByteVocabulary) -> tuple[str, ...]:
    return tuple(
        character if bytes([byte]) in vocabulary.ids else ""
        for byte, character in enumerate(plain_characters())
    )


def _characters(start: bytes) -> Iterator[str]:
    """Yield the characters that begin with these bytes."""
    tails = [start]
    while len(tails[0]) < character_bytes(start[0]):
        tails = [tail + bytes([byte]) for tail in tails for byte in range(0x80, 0xC0)]
    for data in tails:
        character = data.decode(errors="ignore")  # none of an overlong form, or of half a pair
        if character and unicodedata.category(character) not in ("Cn", "Co"):
            yield character


@cache
def _numbers() -> tuple[str, ...]:
    points = (*range(0x80, 0xD800), *range(0xE000, 0x20000))
    return tuple(c for c in map(chr, points) if character_class(c) == NUMBER)


@cache
def _beginnings() -> tuple[bytes, ...]:
    """Return the shortest bytes that tell that a character is no space.

    The apostrophe is none of them, since what it means depends on what follows.
    """
    odd = [space.encode() for space in _ODD]
    found = [bytes([b]) for b in range(1, 0x80) if character_class(chr(b)) != SPACE and b != 0x27]
    prefixes = [bytes([lead]) for lead in range(0xC2, 0xF5)]
    while prefixes:
        prefix = prefixes.pop()
        if any(space.startswith(prefix) for space in odd):
            if prefix not in odd:
                prefixes += [prefix + bytes([byte]) for byte in range(0x80, 0xC0)]
        else:
            found.append(prefix)
    return tuple(found)
