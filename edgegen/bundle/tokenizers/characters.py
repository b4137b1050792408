"""What pre-tokenizers make of characters, and of pieces of characters."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import cache

# White_Space of Unicode, which is `\s` in the patterns of Hugging Face's tokenizers.
SPACES = frozenset(
    "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000"
    + "".join(map(chr, range(0x2000, 0x200B)))
)

LETTER, NUMBER, SPACE, SYMBOL = "L", "N", "W", "S"


@cache
def character_class(character: str) -> str:
    """Return `LETTER`, `NUMBER`, `SPACE`, or `SYMBOL` for all else, marks included."""
    if character in SPACES:
        return SPACE
    category = unicodedata.category(character)[0]
    return category if category in (LETTER, NUMBER) else SYMBOL


def is_mark(character: str) -> bool:
    """Tell whether a character is a mark: an accent, a vowel sign."""
    return unicodedata.category(character)[0] == "M"


@dataclass(frozen=True)
class Units:
    """The bytes of a token as text.

    Attributes:
        head: Bytes before the first character that begins in the token.
        text: Its whole characters.
        tail: The beginning of a character that ends in another token.
    """

    head: bytes
    text: str
    tail: bytes

    @property
    def whole(self) -> bool:
        """Whether the token is text by itself."""
        return not self.head and not self.tail

    @property
    def classes(self) -> str:
        """The classes of its characters, a letter for each."""
        return "".join(map(character_class, self.text))


def character_bytes(lead: int) -> int:
    """Return how many bytes a character has that begins with this byte, 0 for none."""
    if lead < 0x80:
        return 1
    return 0 if lead < 0xC0 else 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4


def units(token: bytes) -> Units:
    """Take a token's bytes apart; bytes that no UTF-8 text holds together count as a head."""
    start = 0
    while start < len(token) and 0x80 <= token[start] < 0xC0:
        start += 1
    stop = len(token)
    for length in range(1, min(3, stop - start) + 1):
        lead = token[stop - length]
        if not 0x80 <= lead < 0xC0:
            if character_bytes(lead) > length:
                stop -= length
            break
    try:
        return Units(token[:start], token[start:stop].decode(), token[stop:])
    except UnicodeDecodeError:
        return Units(token, "", b"")
