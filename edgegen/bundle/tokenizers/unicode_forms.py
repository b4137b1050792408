"""Unicode's composed form (NFC) as charsmap rules."""

from __future__ import annotations

import sys
import unicodedata
from functools import cache
from itertools import permutations


@cache
def nfc_rules() -> dict[str, str]:
    """Return what SentencePiece must respell so that text is in composed form.

    Rules see a few characters at a time: each composed character spelled in all its ways, and
    characters that have a composed form of their own. What they miss is the order of several
    marks that no composed character holds.
    """
    rules: dict[str, str] = {}
    for point in range(0x80, sys.maxunicode + 1):
        character = chr(point)
        if not unicodedata.decomposition(character) or 0xAC00 <= point < 0xD7A4:
            continue
        composed = unicodedata.normalize("NFC", character)
        if composed != character:
            rules[character] = composed
            continue
        parts = unicodedata.normalize("NFD", character)
        base, marks = parts[0], parts[1:]
        for order in permutations(marks) if marks else ():
            for kept in range(len(order)):
                start = unicodedata.normalize("NFC", base + "".join(order[:kept]))
                for spelling in (base + "".join(order), start + "".join(order[kept:])):
                    if unicodedata.normalize("NFC", spelling) == character:
                        rules[spelling] = character
    return {**rules, **_hangul()}


def _hangul() -> dict[str, str]:
    rules = {}
    for point in range(0xAC00, 0xD7A4):
        syllable = chr(point)
        parts = unicodedata.normalize("NFD", syllable)
        rules[parts] = syllable
        if len(parts) == 3:
            rules[unicodedata.normalize("NFC", parts[:2]) + parts[2]] = syllable
    return rules
