"""Characters that stand for bytes, so that SentencePiece can merge bytes as GPT-2 does.

SentencePiece's smallest unit is a character. A charsmap, whose keys are bytes, respells each
byte of text above ASCII by a character of its own, and the denormalizer's charsmap spells the
text of pieces back.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from edgegen.bundle.tokenizers.characters import SPACES, SYMBOL, character_class
from edgegen.bundle.tokenizers.charsmap import compile_charsmap

_PRIVATE = 0xE000  # private use: text holds these too, but as three bytes above ASCII
_REPLACEMENT = "\ufffd".encode()
# Marks for spaces that merge with what follows, the last of private use (see `joins`).
JOINED_SPACES = {space: chr(0x10FF00 + at) for at, space in enumerate(sorted(SPACES))}
# Characters that are not spelled byte by byte: symbols, in a plane that holds no text.
_WHOLE = 0xF0000
_SPACES_OF_MARKS = {mark: space for space, mark in JOINED_SPACES.items()}
# Characters of four bytes whose beginnings the denormalizer waits for: emoji and pictographs.
_WAITED_FOR = range(0x1F000, 0x1FC00)


@cache
def gpt2_characters() -> tuple[str, ...]:
    """Return the character that GPT-2's byte-level tokenizers write for each of the 256 bytes."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return tuple(chr(byte if byte in printable else next(others)) for byte in range(256))


@cache
def gpt2_bytes() -> dict[str, int]:
    """Return the byte for each of `gpt2_characters`."""
    return {character: byte for byte, character in enumerate(gpt2_characters())}


def token_bytes(token: str) -> bytes | None:
    """Return the bytes that a byte-level token spells, or `None` if it is no such token."""
    table = gpt2_bytes()
    try:
        return bytes(table[character] for character in token)
    except KeyError:
        return None


@cache
def plain_characters() -> tuple[str, ...]:
    """Return one character for each byte, which is the byte itself in ASCII."""
    return tuple(chr(byte if byte < 0x80 else _PRIVATE + byte) for byte in range(256))


def spell(data: bytes, characters: tuple[str, ...]) -> str:
    """Write bytes in an alphabet of 256 characters."""
    return "".join([characters[byte] for byte in data])


def detached(data: bytes) -> str:
    """Write bytes so that they read the same and no text merges into them."""
    return "".join([chr(_PRIVATE + byte) for byte in data])


def joined(space: str) -> str:
    """Write a space that merges with what follows."""
    return JOINED_SPACES[space]


def whole(character: str) -> str:
    """Write a symbol of up to three bytes so that it is one character, which merges as such."""
    return chr(_WHOLE + ord(character))


def plain_bytes(text: str) -> bytes:
    """Return the bytes that the functions above spelled so."""

    def read(character: str) -> bytes:
        point = ord(character)
        if _PRIVATE <= point < _PRIVATE + 0x100:
            return bytes([point - _PRIVATE])
        if _WHOLE <= point < _WHOLE + 0x10000:
            return chr(point - _WHOLE).encode()
        return _SPACES_OF_MARKS.get(character, character).encode()

    return b"".join(map(read, text))


def byte_rules(missing: Iterable[int] = ()) -> dict[bytes, bytes]:
    """Return the charsmap rules from text to `plain_characters`.

    Args:
        missing: Bytes that the vocabulary has no token for. Hugging Face's tokenizers pass over
            them, so they are spelled by nothing.
    """
    characters = plain_characters()
    rules = {bytes([byte]): characters[byte].encode() for byte in range(0x80, 0x100)}
    rules.update({bytes([byte]): b"" for byte in missing if byte})
    return rules


@cache
def denormalizer() -> bytes:
    """Return the charsmap from `plain_characters` to text.

    What may still become a character is spelled U+FFFD: LiteRT-LM holds a token back whose text
    ends so, and asks again with the next. Characters of four bytes other than emoji are spelled
    byte by byte, which would take megabytes to wait for.
    """
    characters = plain_characters()
    rules = {detached(bytes([byte])).encode(): bytes([byte]) for byte in range(1, 0x100)}
    rules.update({mark.encode(): space.encode() for space, mark in JOINED_SPACES.items()})
    rules.update(
        {
            whole(c).encode(): c.encode()
            for c in map(chr, (*range(0x80, 0xD800), *range(0xF900, 0xFFFE)))
            if character_class(c) == SYMBOL
        }
    )
    waited_for = (*range(0x80, 0xD800), *range(0xE000, 0x10000), *_WAITED_FOR)
    for point in waited_for:
        data = chr(point).encode()
        rules[spell(data, characters).encode()] = data
        for length in range(1, len(data)):
            rules.setdefault(spell(data[:length], characters).encode(), _REPLACEMENT)
            if length == 1:
                rules[characters[data[0]].encode()] = _REPLACEMENT
    for second in range(0x80, 0xC0):
        start = b"\xf0" + bytes([second])
        rules.setdefault(spell(start, characters).encode(), start)
        if second == 0x9F:
            for third in range(0x80, 0xC0):
                begun = start + bytes([third])
                rules.setdefault(spell(begun, characters).encode(), begun)
    return compile_charsmap(rules)
