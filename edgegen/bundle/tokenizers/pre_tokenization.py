"""How a byte-level tokenizer cuts text before it merges, found out by asking it.

The patterns that do it differ in spelling from one model to the next, but in few ways that
matter to merging. Each is seen in what becomes of a short text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# The spaces that texts hold runs of; an odd one is rare, and rarely beside another.
COMMON_SPACES = " \t\n\r"
_PROBES = {"L": "a", "N": "5", "S": "("}


@dataclass(frozen=True)
class Cuts:
    """What a pre-tokenizer does.

    Attributes:
        digits: How many digits stay together at most; 0 for any number.
        joins_symbol: Whether one symbol before a word belongs to it, as in Llama-3.
        joins_marks: Whether a mark such as a vowel sign belongs to the word, and is no symbol.
        takes_newlines: Whether line breaks after symbols belong to them.
        lone_numbers: Whether a number keeps away from the space before it.
        contractions: The endings such as `'s` that are cut off words, in lower case.
        any_case: Whether they are in upper case, too.
        held_back: (space, class) pairs: of a run of this space, the last one keeps away from
            the others when a character of this class follows.
    """

    digits: int
    joins_symbol: bool
    joins_marks: bool
    takes_newlines: bool
    lone_numbers: bool
    contractions: frozenset[str]
    any_case: bool
    held_back: frozenset[tuple[str, str]]


def find_cuts(tokenizer: Any) -> Cuts:
    """Ask a `tokenizers.Tokenizer` that has a pre-tokenizer."""

    def parts(text: str) -> list[str]:
        found = tokenizer.pre_tokenizer.pre_tokenize_str(text)
        return [text[start:stop] for _, (start, stop) in found]

    digits = max(map(len, parts("1234567")), default=0)
    endings = ("'s", "'t", "'re", "'ve", "'m", "'ll", "'d")
    return Cuts(
        digits=0 if digits == 7 else digits,
        joins_symbol=parts("(ab") == ["(ab"],
        joins_marks=parts("a\u0301b") == ["a\u0301b"],
        takes_newlines=parts("(\n") == ["(\n"],
        lone_numbers=parts("a ½")[-1:] == ["½"],
        contractions=frozenset(e for e in endings if parts(f"x{e}zz") == ["x", e, "zz"]),
        any_case=parts("x'Szz") == ["x", "'S", "zz"],
        held_back=frozenset(
            (space, name)
            for space in COMMON_SPACES
            for name, probe in _PROBES.items()
            if parts(space * 2 + probe)[:1] == [space]
        ),
    )
