"""Damaged and hostile files: what the reader, charsmap checks and library calls make of them."""

from __future__ import annotations

import base64
import contextlib
import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st

from edgegen.bundle.tokenizers import (
    convert_tokenizer,
    open_hf_tokenizer,
)
from edgegen.bundle.tokenizers import tokenizer_json as reader
from edgegen.bundle.tokenizers.charsmap import (
    MAX_CHARSMAP_BYTES,
    charsmap_fault,
    compile_charsmap,
)
from edgegen.bundle.tokenizers.hugging_face import library_failures
from edgegen.bundle.tokenizers.proto import BPE, Normalizer, Piece, PieceType, model_proto
from edgegen.bundle.tokenizers.unicode_forms import nfc_rules
from edgegen.errors import TokenizerError
from tests.bundle.tokenizers.trained import _nmt_nfkc

DAMAGED = "download or copy the file again; Git LFS pointers and cut-off downloads look like this"
GOOD = {"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}}


def bpe(**settings: Any) -> dict[str, Any]:
    return {"model": {**GOOD["model"], **settings}}


def unigram(**settings: Any) -> dict[str, Any]:
    return {"model": {"type": "Unigram", "vocab": [["a", 0.0]], **settings}}


def charsmap(data: Any) -> dict[str, Any]:
    packed = base64.b64encode(data).decode() if isinstance(data, bytes) else data
    part = {"type": "Precompiled", "precompiled_charsmap": packed}
    return {**unigram(unk_id=0), "normalizer": part}


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
            {"model": {"type": "BPE", "vocab": {}, "merges": []}},
            "{path}: model.vocab is empty and there are no added_tokens, expected tokens",
        ),
        (
            bpe(unk_token=["a"]),
            "{path}: model.unk_token is a list, expected text",
        ),
        (
            bpe(unk_token="<unk>"),
            '{path}: model.unk_token is "<unk>", expected a token of the vocabulary',
        ),
        (
            unigram(unk_id=[0]),
            "{path}: model.unk_id is a list, expected a whole number",
        ),
        (unigram(unk_id=1), "{path}: model.unk_id is 1, expected an id below 1"),
        (unigram(unk_id=-1), "{path}: model.unk_id is -1, expected an id below 1"),
        (
            unigram(vocab=[["a", True]]),
            "{path}: model.vocab[0] is a list, expected a token and a score",
        ),
        (
            unigram(vocab=[["a", 10**400]]),
            "{path}: model.vocab[0] has the score 1" + 56 * "0" + "..., expected one between "
            "-3.4e+38 and 3.4e+38",
        ),
        (
            unigram(vocab=[["a", 1e39]]),
            "{path}: model.vocab[0] has the score 1e+39, expected one between -3.4e+38 and 3.4e+38",
        ),
        (
            unigram(vocab=[["a", float("nan")]]),
            "{path}: model.vocab[0] has the score NaN, expected one between -3.4e+38 and 3.4e+38",
        ),
        (
            {"model": {"type": "BPE", "vocab": {"a\ud800": 0}}},
            "{path} holds \\ud800, which is half of a character, expected text",
        ),
        (
            charsmap("????"),
            "{path}: precompiled_charsmap is no base64 (Only base64 data is allowed), expected a "
            "charsmap of SentencePiece",
        ),
        (
            charsmap(7),
            "{path}: precompiled_charsmap is 7, expected text",
        ),
        (
            charsmap(b"junk, junk"),
            "{path}: precompiled_charsmap is 10 bytes with a trie of 1802401130, expected a "
            "charsmap of SentencePiece",
        ),
        (
            charsmap(b"\0\4\0\0" + b"\xff" * 1024),
            "{path}: precompiled_charsmap is a trie without the texts that it leads to, expected a "
            "charsmap of SentencePiece",
        ),
        (
            charsmap(b"\0\4\0\0" + b"\0\xff\0\0" * 256 + b"a\0"),
            "{path}: precompiled_charsmap is a trie whose unit 0 leads out of it, expected a "
            "charsmap of SentencePiece",
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


@pytest.mark.parametrize("text", ["\U0001f98a", "\\ud83e\\udd8a", "\\\\ud800"])
def test_whole_characters_may_be_escaped(tmp_path: Path, text: str) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text('{"model": {"type": "BPE", "merges": [], "vocab": {"' + text + '": 0}}}')
    (token,) = reader.read_tokenizer_json(path).vocab
    assert token in ("\U0001f98a", "\\ud800")


def test_an_empty_name_of_the_unknown_token_is_none(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(bpe(unk_token="")))
    assert reader.read_tokenizer_json(path).model["unk_token"] == ""


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_charsmaps_that_pass_can_be_looked_up_in(data: st.DataObject) -> None:
    """SentencePiece reads memory that is not its own, and ends, where one does not."""
    good = compile_charsmap({b"ab": b"x", b"a": b"yz", "é".encode(): b"e", b"b": b""})
    assert charsmap_fault(good) is None
    spoiled = bytearray(good)
    for _ in range(data.draw(st.integers(1, 4))):
        spoiled[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    if charsmap_fault(bytes(spoiled)) is not None:
        return
    proto = model_proto(
        [Piece("<unk>", type=PieceType.UNKNOWN)],
        model_type=BPE,
        normalizer=Normalizer(bytes(spoiled)),
    )
    processor = sentencepiece.SentencePieceProcessor()
    try:
        processor.LoadFromSerializedProto(proto)
    except RuntimeError:
        return  # it looks for itself, too, and refuses some more
    processor.normalize("abaéb ab" + "".join(map(chr, range(1, 300))))


@pytest.mark.parametrize("unit", [0xFFFF_FC00, 0x8000_0009, 0x0000_0100])
def test_a_unit_that_leads_nowhere_is_found(unit: int) -> None:
    data = bytearray(compile_charsmap({b"a": b"x"}))
    data[4 + 4 * 200 : 8 + 4 * 200] = unit.to_bytes(4, "little")
    assert charsmap_fault(bytes(data)) == "a trie whose unit 200 leads out of it"


def test_the_charsmaps_of_real_models_pass() -> None:
    assert charsmap_fault(_nmt_nfkc()) is None
    forms = {text.encode(): form.encode() for text, form in nfc_rules().items()}
    assert charsmap_fault(compile_charsmap(forms)) is None
    assert charsmap_fault(b"") is None
    assert charsmap_fault(bytes(MAX_CHARSMAP_BYTES + 1)) == "4194305 bytes, more than 4194304"


class PanicException(BaseException):
    """As the library's is called."""


@pytest.mark.parametrize("kind", [Exception, PanicException])
def test_what_the_library_fails_with_is_an_error(kind: type[BaseException]) -> None:
    with pytest.raises(TokenizerError) as caught, library_failures(Path("a.json")):
        raise kind("no such thing")
    assert caught.value.message == (
        "the tokenizers library fails with a.json: no such thing; expected a tokenizer that takes "
        "any text"
    )
    assert caught.value.hint == (
        "download the file again, or save the tokenizer again with the library's current version"
    )


@pytest.mark.parametrize("kind", [KeyError, KeyboardInterrupt])
def test_what_is_not_the_librarys_passes(kind: type[BaseException]) -> None:
    with pytest.raises(kind), library_failures(Path("a.json")):
        raise kind


def test_a_panic_of_the_library_is_an_error(tmp_path: Path, capfd: Any) -> None:
    """What passes the reader may still make the library panic."""
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(GOOD))
    tokenizer = open_hf_tokenizer(path)

    class Panicking:
        def encode(self, *_: Any, **__: Any) -> None:
            raise PanicException("index out of bounds")

        encode_batch_fast = decode = decode_batch = encode

        def id_to_token(self, _: int) -> str:
            return "a"

    vars(tokenizer)["library"] = Panicking()
    calls: list[Callable[[], Any]] = [
        lambda: tokenizer.encode("a"),
        lambda: tokenizer.decode([0]),
        lambda: tokenizer.encode_batch(["a"]),
        lambda: tokenizer.decode_batch([[0]]),
    ]
    for call in calls:
        with pytest.raises(TokenizerError, match="index out of bounds"):
            call()


def test_unigram_without_an_unknown_token_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(unigram()))
    with pytest.raises(TokenizerError) as caught:
        convert_tokenizer(path)
    assert caught.value.message.startswith(f"the tokenizers library fails with {path}: ")
    assert "`unk_id` is missing" in caught.value.message


def test_a_pattern_that_removes_all_text_is_no_traceback(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    removing = {"type": "Split", "pattern": {"Regex": r"[\s\S]"}, "behavior": "Removed"}
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    parts = {"type": "Sequence", "pretokenizers": [{**removing, "invert": False}, level]}
    path.write_text(json.dumps({**GOOD, "pre_tokenizer": parts, "decoder": level}))
    with pytest.raises(TokenizerError, match="cannot be converted without loss"):
        convert_tokenizer(path)


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
