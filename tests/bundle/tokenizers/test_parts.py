"""The reader, the corpus, charsmaps and the gate, each by itself."""

from __future__ import annotations

import contextlib
import copy
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
from edgegen.bundle.tokenizers import tokenizer_json as reader
from edgegen.bundle.tokenizers.byte_alphabet import gpt2_characters, spell, token_bytes
from edgegen.bundle.tokenizers.characters import units
from edgegen.bundle.tokenizers.charsmap import compile_charsmap
from edgegen.bundle.tokenizers.proto import BPE, Normalizer, Piece, PieceType, model_proto
from edgegen.bundle.tokenizers.unicode_forms import nfc_rules
from edgegen.errors import TokenizerError

DAMAGED = "download or copy the file again; Git LFS pointers and cut-off downloads look like this"
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


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "{path} is not JSON: "),
        ("[]", "{path}: the file is a list, expected an object"),
        ({}, "{path}: model is null, expected an object"),
        (
            {"model": {"type": "Magic", "vocab": {}}},
            "{path} has model.type = 'Magic', expected BPE, Unigram, WordPiece or WordLevel",
        ),
        (
            {"model": {"type": "BPE", "vocab": {"a": True}}},
            "{path}: model.vocab['a'] is true, expected a whole number",
        ),
        (
            {"model": {"type": "BPE", "vocab": {"a": 9_000_000}}},
            "{path}: model.vocab['a'] is 9000000, expected an id below 2000000",
        ),
        (
            {"model": {"type": "BPE", "vocab": {}, "merges": ["a b c"]}},
            '{path}: model.merges[0] is "a b c", expected two tokens',
        ),
        (
            {"model": {"type": "Unigram", "vocab": [["a"]]}},
            "{path}: model.vocab[0] is a list, expected a token and a score",
        ),
        (
            {**GOOD, "added_tokens": [{"id": 0}]},
            "{path}: added_tokens[0].content is null, expected text",
        ),
        (
            {**GOOD, "added_tokens": [{"id": 0, "content": "a", "special": 1}]},
            "{path}: added_tokens[0].special is 1, expected true or false",
        ),
        (
            {
                "model": {
                    "type": "BPE",
                    "vocab": {"a": 0, "b": 1, "ab": 2},
                    "merges": [["a", "b"]],
                    "continuing_subword_prefix": "##",
                }
            },
            '{path}: model.merges[0] joins "b", which does not begin with '
            'model.continuing_subword_prefix "##"',
        ),
        ({**GOOD, "normalizer": "NFC"}, '{path}: normalizer is "NFC", expected an object'),
        (
            {**GOOD, "pre_tokenizer": {"type": "Sequence"}},
            "{path}: pre_tokenizer.pretokenizers is null, expected a list",
        ),
    ],
)
def test_damaged_files_are_refused(tmp_path: Path, content: Any, message: str) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(TokenizerError) as caught:
        reader.read_tokenizer_json(path)
    expected = message.format(path=path)
    if expected.endswith(": "):  # the JSON parser's own words follow
        assert caught.value.message.startswith(expected)
    else:
        assert caught.value.message == expected
    if "model.type" not in expected:
        assert caught.value.hint == DAMAGED


def test_deep_nesting_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text("[" * 100_000)
    with pytest.raises(TokenizerError, match="is not JSON"):
        reader.read_tokenizer_json(path)


def test_files_too_large_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(GOOD))
    monkeypatch.setattr(reader, "MAX_BYTES", 10)
    with pytest.raises(TokenizerError) as caught:
        reader.read_tokenizer_json(path)
    assert caught.value.message == (f"{path} has {path.stat().st_size} bytes, expected at most 10")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    with pytest.raises(TokenizerError) as caught:
        reader.read_tokenizer_json(path)
    assert caught.value.message == f"cannot read {path}: No such file or directory"


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_mutated_files_never_end_in_a_traceback(
    saved: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = json.loads(saved("smollm").read_text())
    content["model"]["vocab"] = dict(list(content["model"]["vocab"].items())[:300])
    content["model"]["merges"] = content["model"]["merges"][:3]
    junk = st.sampled_from([None, True, -1, 1.5, "x", [], {}, [[]], {"type": "Sequence"}])
    for _ in range(data.draw(st.integers(1, 3))):
        target = data.draw(st.sampled_from([content, content.get("model") or content]))
        if isinstance(target, dict) and target:
            key = data.draw(st.sampled_from(sorted(target)))
            target[key] = copy.deepcopy(data.draw(junk))
    path = tmp_path_factory.mktemp("mutated") / "tokenizer.json"
    path.write_text(json.dumps(content))
    with contextlib.suppress(TokenizerError):
        open_hf_tokenizer(path).encode("a b")


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
