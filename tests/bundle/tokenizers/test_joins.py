"""Spaces that merge with what follows, and what no SentencePiece model can tell apart."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from edgegen.bundle.tokenizers import HfTokenizer, open_hf_tokenizer, try_convert
from edgegen.bundle.tokenizers.byte_alphabet import gpt2_characters, spell
from edgegen.bundle.tokenizers.convert import Conversion
from tests.bundle.tokenizers.trained import LLAMA3

DASH = "\u2014".encode()


def made(
    path: Path,
    merges: Sequence[tuple[bytes, bytes]],
    *,
    pattern: str | None = None,
    without: bytes = b"",
) -> tuple[HfTokenizer, Conversion]:
    """Convert a byte-level tokenizer of these merges and all bytes but some."""

    def text(data: bytes) -> str:
        return spell(data, gpt2_characters())

    tokens = [bytes([b]) for b in range(256) if b not in without]
    tokens += [left + right for left, right in merges]
    level = {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": True,
        "use_regex": pattern is None,
    }
    split = {
        "type": "Split",
        "pattern": {"Regex": pattern},
        "behavior": "Isolated",
        "invert": False,
    }
    content = {
        "version": "1.0",
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": level
        if pattern is None
        else {"type": "Sequence", "pretokenizers": [split, level]},
        "post_processor": None,
        "decoder": {**level, "use_regex": True},
        "model": {
            "type": "BPE",
            "vocab": {text(token): number for number, token in enumerate(tokens)},
            "merges": [[text(left), text(right)] for left, right in merges],
        },
    }
    file = path / "tokenizer.json"
    file.write_text(json.dumps(content))
    return open_hf_tokenizer(file), try_convert(file)


TEXTS = [
    " \u2014",  # merges
    " \u2014a",
    "a \u2014 b",
    " \u2003a",  # is cut
    " \u2003",  # is not: nothing follows
    " \u2003 a",
    "\u2003\u2014",
    "  \u2014",
    " \u2160 \u2014",  # a number
]


@pytest.mark.parametrize("pattern", [None, LLAMA3], ids=["gpt2", "llama3"])
def test_a_blank_merges_with_a_dash_and_not_with_an_odd_space(
    tmp_path: Path, pattern: str | None
) -> None:
    merges = [(DASH[:1], DASH[1:2]), (b" ", DASH[:2]), (b" " + DASH[:2], DASH[2:]), (b" ", b" ")]
    original, conversion = made(tmp_path, merges, pattern=pattern)

    assert conversion.tokenizer.encode_batch(TEXTS) == original.encode_batch(TEXTS)


def test_no_id_beyond_the_vocabulary_is_given_out(tmp_path: Path) -> None:
    """A mark has no id of its own, so it is never left alone, whatever merges after it."""
    merges = [
        (DASH[:1], DASH[1:2]),
        (DASH[1:2], DASH[2:]),
        (b" ", DASH[:2]),
        (DASH[:2], b"\x94"),
        (DASH, b"a"),
    ]
    _, conversion = made(tmp_path, merges)
    for text in (
        " \u2014",
        " \u2014a",
        " \u2014aa",
        " \u2014\u2014",
        " \u201c",
        " \u2028a",
        "\u2014 ",
    ):
        assert max(conversion.tokenizer.encode(text)) < conversion.size


def test_a_byte_without_token_cannot_keep_two_letters_apart(tmp_path: Path) -> None:
    """Ids are all that pieces give, so what has no id leaves nothing between its neighbours."""
    original, conversion = made(tmp_path, [(b"o", b"a")], without=b"\x06")

    assert [original.id_piece(i) for i in original.encode("o\x06a")] == ["o", "a"]
    assert [original.id_piece(i) for i in conversion.tokenizer.encode("o\x06a")] == ["oa"]
    assert conversion.tokenizer.encode("oa") == original.encode("oa")


def test_a_symbol_of_several_tokens_does_not_hold_the_next_one_from_a_word(tmp_path: Path) -> None:
    """`-` belongs to the symbols before it; of those that are no token the last byte is in words,
    too: a piece of that byte and `-` would part `\u039e-o`.
    """
    merges = [(b"\xce", b"\x9e"), (b"-", b"o")]
    original, conversion = made(tmp_path, merges, pattern=LLAMA3)

    assert [original.id_piece(i) for i in original.encode("\u221e-o")][-2:] == ["-", "o"]
    assert original.id_piece(conversion.tokenizer.encode("\u221e-o")[-1]) == "-o"
    assert conversion.tokenizer.encode("\u039e-o") == original.encode("\u039e-o")
    assert conversion.tokenizer.encode("(-o") == original.encode("(-o")
