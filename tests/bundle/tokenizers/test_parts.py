"""The corpus, charsmaps and the gate, each by itself."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st

from edgegen.bundle.tokenizers import (
    GateReport,
    class_names,
    compare,
    corpus_lines,
    open_hf_tokenizer,
    require,
)
from edgegen.bundle.tokenizers.byte_alphabet import gpt2_characters, spell, token_bytes
from edgegen.bundle.tokenizers.characters import units
from edgegen.bundle.tokenizers.charsmap import (
    compile_charsmap,
)
from edgegen.bundle.tokenizers.proto import BPE, Normalizer, Piece, PieceType, model_proto
from edgegen.bundle.tokenizers.unicode_forms import nfc_rules
from edgegen.errors import TokenizerError

FLAGS = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), False)
GOOD = {"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}}


def normalized(rules: dict[bytes, bytes], text: str) -> str:
    proto = model_proto(
        [Piece("<unk>", type=PieceType.UNKNOWN)],
        model_type=BPE,
        normalizer=Normalizer(compile_charsmap(rules)),
    )
    processor = sentencepiece.SentencePieceProcessor()
    processor.LoadFromSerializedProto(proto)
    return str(processor.normalize(text))


keys = st.text("abcé中🦊", min_size=1, max_size=5).map(str.encode)
values = st.text("xyzß東", max_size=3).map(str.encode)


@settings(max_examples=200, deadline=None)
@given(rules=st.dictionaries(keys, values, min_size=1, max_size=40), text=st.text("abcdé中🦊\0"))
def test_charsmaps_take_the_longest_key_that_fits(rules: dict[bytes, bytes], text: str) -> None:
    data, expected = text.encode(), b""
    while data:
        fits = max((key for key in rules if data.startswith(key)), key=len, default=None)
        taken = fits if fits is not None else data.decode()[0].encode()
        expected += rules[fits] if fits is not None else taken
        data = data[len(taken) :]
    assert normalized(rules, text) == expected.decode()


def test_charsmaps_take_single_bytes() -> None:
    rules = {bytes([byte]): chr(0x2800 + byte).encode() for byte in range(0x80, 0x100)}
    assert normalized(rules, "aé") == "a\u28c3\u28a9"


@pytest.mark.parametrize("rules", [{b"": b"x"}, {b"a\0": b"x"}, {b"a": b"\0"}])
def test_charsmaps_hold_no_zero_byte(rules: dict[bytes, bytes]) -> None:
    with pytest.raises(ValueError, match="is empty or holds a zero byte"):
        compile_charsmap(rules)


def test_charsmaps_nest_no_deeper_than_sentencepiece_looks() -> None:
    compile_charsmap({b"a" * n: b"b" for n in range(1, 33)})
    with pytest.raises(ValueError, match="more than 32 keys begin"):
        compile_charsmap({b"a" * n: b"b" for n in range(1, 34)})


def test_composed_form_is_unicodes() -> None:
    import unicodedata

    rules = nfc_rules()
    assert all(unicodedata.normalize("NFC", key) == value for key, value in rules.items())
    assert rules["e\u0301"] == "é"
    assert rules["\u212b"] == "Å"
    assert len(rules) > 20_000


@given(data=st.binary(max_size=12))
def test_bytes_come_back_from_gpt2s_characters(data: bytes) -> None:
    assert token_bytes(spell(data, gpt2_characters())) == data


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        (b"abc", (b"", "abc", b"")),
        ("é".encode()[1:] + b"a", (b"\xa9", "a", b"")),
        (b" " + "中".encode()[:2], (b"", " ", b"\xe4\xb8")),
        ("🦊".encode()[2:], (b"\xa6\x8a", "", b"")),
        (b"\xff\xff", (b"\xff\xff", "", b"")),
    ],
)
def test_tokens_are_taken_apart(token: bytes, expected: tuple[bytes, str, bytes]) -> None:
    found = units(token)
    assert (found.head, found.text, found.tail) == expected


def test_the_corpus_is_large_and_of_every_class() -> None:
    lines = list(corpus_lines())
    assert len(lines) >= 10_000
    assert set(Counter(name for name, _ in lines)) == set(class_names())
    assert all(text.encode() is not None for _, text in lines)


def test_the_corpus_is_the_same_in_every_process() -> None:
    code = (
        "import hashlib; from edgegen.bundle.tokenizers import corpus_lines; "
        "print(hashlib.sha256(repr(list(corpus_lines(50))).encode()).hexdigest())"
    )
    runs = {
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout
        for _ in range(2)
    }
    assert len(runs) == 1
    assert list(corpus_lines(5, seed=1)) != list(corpus_lines(5, seed=2))


def test_what_the_library_refuses_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps({**GOOD, "pre_tokenizer": {"type": "Magic"}}))
    with pytest.raises(TokenizerError) as caught:
        open_hf_tokenizer(path).encode("a")
    assert caught.value.message.startswith(
        f"{path} is not a tokenizer that the tokenizers library reads: "
    )


def test_ids_that_the_library_would_not_give_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps({**GOOD, "added_tokens": [{"id": 7, "content": "<x>"} | FLAGS]}))
    with pytest.raises(TokenizerError) as caught:
        open_hf_tokenizer(path).encode("a")
    assert caught.value.message == (
        f"{path} gives the added token '<x>' the id 7, the tokenizers library gives it 1"
    )


def test_hf_tokenizers_have_the_interface_of_the_others(saved: Callable[[str], Path]) -> None:
    tokenizer = open_hf_tokenizer(saved("smollm"))
    ids = tokenizer.encode("to be<|im_end|>")
    assert tokenizer.decode(ids) == "to be"
    assert tokenizer.piece_id("<|im_end|>") == 2
    assert tokenizer.id_piece(2) == "<|im_end|>"
    assert tokenizer.piece_id("no such token") is None
    assert tokenizer.vocab_size == 3002
    for use in (tokenizer.id_piece, lambda i: tokenizer.decode([i])):
        with pytest.raises(TokenizerError) as caught:
            use(3002)
        assert caught.value.message == (
            f"token id 3002 is outside the tokenizer {tokenizer.path}, which has 3002 ids"
        )


class Letters:
    """A tokenizer of one id for each character, with faults to order."""

    def __init__(self, wrong_id: str = "", wrong_text: str = "") -> None:
        self.wrong_id, self.wrong_text = wrong_id, wrong_text

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        return [[ord(c) + (c == self.wrong_id) for c in text] for text in texts]

    def decode_batch(self, ids: Sequence[Sequence[int]]) -> list[str]:
        return ["".join("?" if chr(i) == self.wrong_text else chr(i) for i in row) for row in ids]


LINES = [("one", "abc"), ("one", "ab"), ("two", "xyz")]


def gate(converted: Letters, **options: Any) -> GateReport:
    return compare(Letters(), converted, vocabulary=range(97, 123), lines=LINES, **options)


def test_the_gate_counts_each_way_and_keeps_the_shortest() -> None:
    report = gate(Letters("b", "z"), added_tokens=["<b>"])
    found = {r.name: (r.texts, r.encode_mismatches, r.decode_mismatches) for r in report.classes}
    assert found == {
        "vocabulary": (26, 1, 1),
        "added tokens": (10, 10, 0),
        "one": (2, 2, 0),
        "two": (1, 0, 1),
    }
    one = report.classes[2].example
    assert one is not None
    assert (one.text, one.expected, one.found) == ("ab", [97, 98], [97, 99])
    assert report.mismatches == 15
    assert report.mismatch_rate == 15 / 78


class Halves(Letters):
    """Ids below 10 are parts of characters."""

    def decode_batch(self, ids: Sequence[Sequence[int]]) -> list[str]:
        return ["".join("\ufffd" if i < 10 else chr(i) for i in row) for row in ids]


def test_ids_that_are_no_text_are_compared_by_their_bytes() -> None:
    def spelling(number: int) -> tuple[bytes, bytes]:
        right = bytes([0xE0 + number]) if number < 10 else chr(number).encode()
        return right, b"\xff" if number in (3, 4, 98) else right

    options: dict[str, Any] = {"vocabulary": [*range(10), 97, 98], "lines": LINES}
    report = compare(Halves(), Halves(), id_bytes=spelling, **options)
    result = report.classes[0]
    assert (result.texts, result.decode_mismatches, result.not_compared) == (12, 3, 0)
    assert result.example is not None
    assert (result.example.text, result.example.found) == ("b", "\\xff")

    without = compare(Halves(), Halves(), **options)
    assert (without.classes[0].texts, without.not_compared) == (2, 10)
    assert without.to_json()["not_compared"] == 10
    assert without.to_json()["classes"]["vocabulary"]["not_compared"] == 10


def test_an_id_that_differs_both_ways_counts_once() -> None:
    report = compare(
        Letters(), Letters(wrong_text="b"), vocabulary=[98], id_bytes=lambda _: (b"b", b"?")
    )
    assert report.classes[0].decode_mismatches == 1


def test_a_gate_without_a_vocabulary_still_blocks() -> None:
    report = compare(Letters(), Letters("y"), vocabulary=[], lines=LINES)
    with pytest.raises(TokenizerError, match="1 mismatches in 3 texts"):
        require(report, "tokenizer.json")


def test_the_gate_blocks_and_says_where() -> None:
    report = gate(Letters("y"))
    with pytest.raises(TokenizerError) as caught:
        require(report, "tokenizer.json")
    assert caught.value.message == (
        "tokenizer.json cannot be converted without loss: 2 mismatches in 29 texts (rate 0.034, "
        "allowed 0); of two, 'xyz' is [120, 122, 122], expected [120, 121, 122]"
    )
    require(gate(Letters("y"), max_mismatch_rate=0.04), "tokenizer.json")
    require(gate(Letters()), "tokenizer.json")


def test_a_rate_that_is_none_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="max_mismatch_rate is 2, expected 0 to 1"):
        gate(Letters(), max_mismatch_rate=2)
