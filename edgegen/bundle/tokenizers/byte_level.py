"""Byte-level BPE (GPT-2, Llama-3, Qwen, SmolLM) as a SentencePiece model with the same ids.

Hugging Face's tokenizers cut text with a pattern and merge bytes inside the cuts. SentencePiece
does not cut; it merges the whole text, the piece with the best score first. So the scores carry
both the order of merges and the cuts. They have tiers, each done before the next begins:

    numbers           cut away from the space before them; marks of spaces (`joins`) and what
                      is after them
    runs of symbols   `((` before `(foo`, which is one only if the symbol is alone
    shields           see `virtual_pieces`
    endings           `'t` before `th`
    digits            at most three together, from the left
    words             all other merges, in the order of the merges of the file
    whole words       tokens that merging does not make
    shields           see `virtual_pieces`
    runs of spaces    last, when words have taken the space before them

`docs/explanation/tokenizers.md` tells what this leaves inexact.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property
from typing import Any
from unicodedata import category

from edgegen.bundle.tokenizers.byte_alphabet import (
    detached,
    gpt2_characters,
    spell,
    token_bytes,
)
from edgegen.bundle.tokenizers.characters import (
    LETTER,
    NUMBER,
    SPACE,
    SYMBOL,
    Units,
    character_class,
    is_mark,
    units,
)
from edgegen.bundle.tokenizers.hugging_face import HfTokenizer
from edgegen.bundle.tokenizers.pre_tokenization import Cuts, find_cuts
from edgegen.bundle.tokenizers.proto import Piece, PieceType
from edgegen.bundle.tokenizers.tokenizer_json import TokenizerJson

# Scores are float32, which tells whole numbers apart up to 2**24.
_TIER_SIZE = 1_000_000


class Tier(IntEnum):
    """What merges before what."""

    NUMBER = 0
    SYMBOLS = 1
    SYMBOL_SHIELD = 2
    ENDING = 4
    DIGITS = 5
    WORD = 6
    WHOLE_WORD = 7
    SPACE_SHIELD = 8
    SPACES = 9


def score(tier: Tier, rank: int = 0) -> float:
    """Return the score of a piece; higher ones are merged first."""
    return -float(tier * _TIER_SIZE + min(rank, _TIER_SIZE - 1))


@dataclass(frozen=True)
class ByteVocabulary:
    """The tokens of a byte-level tokenizer, as bytes.

    Attributes:
        ids: Bytes -> id, without added tokens.
        ranks: Bytes -> place among the merges; single bytes have none.
        cuts: What the pre-tokenizer does.
        marked: Whether spaces that merge are told by marks (`joins`), not by the order of merges.
        library: The `tokenizers.Tokenizer`.
        model: Its model, which merges without cutting.
        merging: The same where it takes no word as a whole (`ignore_merges`).
    """

    ids: Mapping[bytes, int]
    ranks: Mapping[bytes, int]
    cuts: Cuts
    marked: bool
    library: Any = field(repr=False)
    model: Any = field(repr=False)
    merging: Any = field(repr=False)

    @classmethod
    def read(cls, original: HfTokenizer, *, marked: bool) -> ByteVocabulary:
        """Take the vocabulary of a tokenizer."""
        file = original.file
        added = {token.id for token in file.added_tokens}
        ids = {}
        for token, number in file.vocab.items():
            data = token_bytes(token)
            if data and number not in added:
                ids[data] = number
        ranks: dict[bytes, int] = {}
        for rank, (left, right) in enumerate(file.merges):
            data = token_bytes(left + right)
            if data is not None:
                ranks.setdefault(data, rank)
        library = original.library
        cuts = find_cuts(library)
        return cls(ids, ranks, cuts, marked, library, library.model, original.merging)

    @property
    def ignores_merges(self) -> bool:
        """Whether a word that is a token is taken for it, however merging would go."""
        return bool(self.model.ignore_merges)

    @cached_property
    def units(self) -> dict[bytes, Units]:
        """Each token as text."""
        return {token: units(token) for token in self.ids}

    @cached_property
    def unreachable(self) -> frozenset[bytes]:
        """Tokens that no text has: the merges, or the cuts, never make them."""
        whole = [token for token in self.ids if self.units[token].whole]
        texts = [self.units[token].text for token in whole]
        encoded = self.library.encode_batch_fast(texts, add_special_tokens=False)
        never = {t for t, e in zip(whole, encoded, strict=True) if e.ids != [self.ids[t]]}
        # What composed form changes is no text, but parts of it may come together to this.
        parts = self.ids.keys() - set(whole)
        return frozenset(never | {token for token in parts if len(self.merged(token)) != 1})

    @cached_property
    def tiers(self) -> dict[bytes, Tier]:
        """Each token's tier."""
        return {token: self._tier(token) for token in self.ids}

    @cached_property
    def whole_words(self) -> dict[bytes, tuple[bytes, ...]]:
        """Tokens that a word is taken for as a whole -> what merging makes of them."""
        if not self.ignores_merges:
            return {}
        table = gpt2_characters()
        found = {}
        for token in self.ids:
            parts = self.merging.tokenize(spell(token, table))
            if len(parts) > 1:
                found[token] = tuple(token_bytes(part.value) or b"" for part in parts)
        return found

    def merged(self, text: bytes) -> list[int]:
        """Return the ids of bytes that are not cut."""
        return [token.id for token in self.model.tokenize(spell(text, gpt2_characters()))]

    def parts(self, text: bytes) -> list[bytes]:
        """Return the tokens that bytes become that are not cut."""
        found = self.model.tokenize(spell(text, gpt2_characters()))
        return [token_bytes(token.value) or b"" for token in found]

    def merged_parts(self, text: bytes) -> list[bytes]:
        """Return what merging alone makes of bytes, also of those that are taken as a whole."""
        found = self.merging.tokenize(spell(text, gpt2_characters()))
        return [token_bytes(token.value) or b"" for token in found]

    def score(self, token: bytes) -> float:
        """Return a token's score."""
        tier = self.tiers[token]
        if tier is Tier.DIGITS:
            # From the left: three digits as soon as two are together, and all pairs alike.
            return score(tier, 0 if len(self.units[token].text) > 2 else 1)
        rank = self.ranks.get(token, _TIER_SIZE)
        if tier is Tier.WORD and not self.marked and self.units[token].text in self.cut_off:
            crossing = self.crossing_rank(token)
            if crossing is not None and crossing < rank:
                return score(tier, crossing) + 0.5
        return score(tier, rank)

    @cached_property
    def wholes(self) -> frozenset[str]:
        """Symbols beyond ASCII that are one token, and whose bytes merge with nothing else before.

        A blank's merge with their first bytes does not count: it is told by marks (`joins`).
        """
        if not (self.cuts.joins_symbol and self.marked):
            return frozenset()
        overlaps: dict[bytes, int] = {}
        for token, found in self.units.items():
            rank = self.ranks.get(token, _TIER_SIZE)
            # A word is cut off the symbol after it.
            cut = character_class(found.text[-1:] or "a") in (LETTER, NUMBER) and found.text
            parts = (found.head, b"" if cut or found.text == " " else found.tail)
            for part in parts:
                if part and part != token:
                    overlaps[part] = min(rank, overlaps.get(part, rank))
        return frozenset(
            found.text
            for token, found in self.units.items()
            if found.whole
            and found.classes == SYMBOL
            and 1 < len(token) < 4
            and category(found.text) != "Co"
            and not (self.cuts.joins_marks and is_mark(found.text))
            and token in self.ranks
            and all(
                overlaps.get(part, _TIER_SIZE) > self.ranks[token]
                for n in range(1, len(token))
                for part in (token[:n], token[n:])
            )
        )

    def _goes_first(self, character: str) -> bool:
        return _of_symbol_block(character) or character in self.wholes

    @cached_property
    def cut_off(self) -> frozenset[str]:
        """Characters beyond two bytes that a blank before them does not belong to."""
        classes = (SPACE, NUMBER) if self.cuts.lone_numbers else (SPACE,)
        points = (*range(0x800, 0xD800), *range(0x10000, 0x20000))
        # Those that are part of longer tokens must merge in the order of the merges.
        longer = {c for u in self.units.values() if len(u.text) > 1 or u.tail for c in u.text}
        return frozenset(
            c for c in map(chr, points) if character_class(c) in classes and c not in longer
        )

    def crossing_rank(self, character: bytes) -> int | None:
        """Return the rank of the first merge of a blank with a character's first bytes."""
        found = (self.ranks.get(b" " + character[:n]) for n in range(1, len(character)))
        return min((rank for rank in found if rank is not None), default=None)

    def _tier(self, token: bytes) -> Tier:
        found = self.units[token]
        classes, text = found.classes, found.text
        if token in self.whole_words:
            return Tier.WHOLE_WORD
        if found.whole and text:
            if set(classes) == {SPACE} and (len(text) > 1 or text.isascii()):
                line_break = self.cuts.takes_newlines and set(text) <= {"\r", "\n"}
                return Tier.SYMBOLS if line_break else Tier.SPACES
            if text.lower() in self.cuts.contractions and (self.cuts.any_case or text.islower()):
                return Tier.ENDING
            if set(classes) == {NUMBER} and len(text) > 1 and self.cuts.digits > 1:
                return Tier.DIGITS
            # Its inner merges can go first where nothing else begins with its first byte.
            if classes == NUMBER and len(token) == 2 and self.cuts.lone_numbers:
                return Tier.NUMBER
        return Tier.SYMBOLS if self._is_symbols(found) else Tier.WORD

    def _is_symbols(self, found: Units) -> bool:
        """Whether it is symbols, after a space perhaps, and before line breaks."""
        text = found.text[1:] if found.text[:1] == " " else found.text
        if self.cuts.joins_symbol and not found.head and (text + " ").isascii() is False:
            return all(map(self._goes_first, text)) and not found.tail
        if self.cuts.joins_symbol and found.tail and not found.head:
            tail = found.tail
            begun = tail[:1] in _SYMBOL_LEADS or tail[:2] in _SYMBOL_PAIRS
            return begun and all(map(_of_symbol_block, text))
        if self.cuts.takes_newlines:
            text = text.rstrip("\r\n") or text
        return (
            found.whole
            and text.isascii()
            and set(map(_class_of_ascii, text)) == {SYMBOL}
            and len(found.text) > 1
        )


# Bytes and pairs of bytes that begin symbols and little else.
_SYMBOL_LEADS = (b"\xc2", b"\xcc", b"\xe2")
_SYMBOL_PAIRS = (b"\xe3\x80", b"\xef\xb8", b"\xef\xbc", b"\xef\xbf", b"\xf0\x9f")


def _of_symbol_block(character: str) -> bool:
    if character.isascii():
        return _class_of_ascii(character) == SYMBOL or character in "\r\n"
    data = character.encode()
    return data[:1] in _SYMBOL_LEADS or data[:2] in _SYMBOL_PAIRS


def _class_of_ascii(character: str) -> str:
    if character.isalpha():
        return LETTER
    if character.isdigit():
        return NUMBER
    return SPACE if character in " \t\n\r\v\f" else SYMBOL


def token_pieces(
    file: TokenizerJson, vocabulary: ByteVocabulary, write: Callable[[bytes], str]
) -> list[Piece]:
    """Return a piece for every id up to the file's highest, spelled as `write` does."""
    plain = write(b"\0") == "\0"
    pieces = [unused_piece(number) for number in range(file.size)]
    for token, number in vocabulary.ids.items():
        if token == b"\0" and plain:
            # No piece can hold this character; as the byte that it is, it can be had.
            pieces[number] = Piece("<0x00>", type=PieceType.BYTE)
        elif b"\0" in token and plain:
            pass  # unused, then: no text of several zero bytes keeps its ids
        elif token in vocabulary.unreachable and plain:
            pieces[number] = Piece(detached(token), score(Tier.SPACES, _TIER_SIZE))
        else:
            pieces[number] = Piece(write(token), vocabulary.score(token))
    return pieces


def unused_piece(number: int) -> Piece:
    """Return the piece of an id that no text has; merging cannot make it."""
    return Piece(f"<unused {number}>", score(Tier.SPACES, _TIER_SIZE), PieceType.UNUSED)
