"""Converted tokenizers beside the originals, in the tokenizers library."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from edgegen.bundle import SentencePieceTokenizer, open_tokenizer
from edgegen.bundle.tokenizers import (
    Conversion,
    HfTokenizer,
    class_names,
    convert_tokenizer,
    try_convert,
)
from edgegen.bundle.tokenizers.corpus import corpus_lines
from edgegen.errors import TokenizerError
from tests.bundle.tokenizers.trained import KINDS, LLAMA3, byte_level, split

Convert = Callable[..., tuple[HfTokenizer, Conversion]]

# Where SentencePiece cannot follow (docs/explanation/tokenizers.md): spaces that only Unicode
# knows, bytes and code points at random.
ODD = {"odd spaces", "bytes", "code points"}
EXACT = ("gpt2", "smollm")

# What people write, made of parts that meet in every order.
parts = st.sampled_from(
    [
        "a",
        "the",
        " the",
        "don't",
        "'s",
        "'ve",
        " 'very",
        "'re",
        "X",
        "12",
        "3",
        " 4",
        "é",
        "ß",
        " ",
        "  ",
        "\n",
        "\n\n",
        "\t",
        "(",
        "((",
        "){",
        " =",
        "->",
        ".",
        "...",
        '"',
        "'",
        "_",
        "#",
        "中文",
        "。",
        "мир",
        "مرحبا",
        "हिन्दी",
        "🦊",
        "👩\u200d👩\u200d👧",
        "“",
        "—",
        "½",
        "x́",
        "<|im_end|>",
    ]
)
texts = st.lists(parts, max_size=12).map("".join)


def mismatches(conversion: Conversion) -> dict[str, tuple[int, int]]:
    return {
        r.name: (r.encode_mismatches, r.decode_mismatches)
        for r in conversion.report.classes
        if r.encode_mismatches or r.decode_mismatches
    }


@pytest.mark.parametrize("engine", ["litert-lm", "mediapipe"])
@pytest.mark.parametrize("kind", EXACT)
def test_byte_level_tokenizers_keep_every_id_of_ordinary_text(
    converted: Convert, kind: str, engine: str
) -> None:
    _, conversion = converted(kind, engine)
    found = mismatches(conversion)
    print(kind, engine, conversion.report.mismatches, "of", conversion.report.texts, found)
    # A few scripts whose bytes this small vocabulary merges across characters.
    assert found.keys() <= ODD | {"mixed scripts", "english", "symbols"}
    assert found.get("mixed scripts", (0, 0))[0] <= 2
    # Endings of words go by the order of merges there.
    for name in ("english", "symbols"):
        assert found.get(name, (0, 0))[0] <= (2 if engine == "mediapipe" else 0)
    assert all(decoded == 0 for _, decoded in found.values())


@pytest.mark.parametrize("kind", ["llama3", "qwen2"])
def test_patterns_that_join_a_symbol_and_a_word_keep_nearly_all(
    converted: Convert, kind: str
) -> None:
    _, conversion = converted(kind)
    print(kind, conversion.report.mismatch_rate, mismatches(conversion))
    for name in ("english", "latin-1", "cjk", "numbers"):
        assert name not in mismatches(conversion)
    assert conversion.report.mismatch_rate < 0.03


def test_llama2_is_exact(converted: Convert) -> None:
    _, conversion = converted("llama2")
    # The first of them is a token that is empty in the library and a space here.
    assert conversion.report.mismatches <= 1
    assert set(mismatches(conversion)) <= {"vocabulary"}


def test_unigram_keeps_words(converted: Convert) -> None:
    _, conversion = converted("unigram")
    found = mismatches(conversion)
    for name in ("english", "latin-1", "arabic", "devanagari", "cjk", "numbers", "symbols"):
        assert name not in found
    assert conversion.report.mismatch_rate < 0.02


@settings(max_examples=300, deadline=None)
@given(text=texts)
@pytest.mark.parametrize("kind", EXACT)
def test_ids_and_text_are_the_originals(converted: Convert, kind: str, text: str) -> None:
    assume("''''" not in text)  # rows of apostrophes are looked at up to a length
    original, conversion = converted(kind)
    ids = original.encode(text)
    assert conversion.tokenizer.encode(text) == ids
    assert conversion.tokenizer.decode(ids) == original.decode_batch([ids])[0]


@settings(max_examples=200, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_comes_back_from_its_ids(converted: Convert, text: str) -> None:
    for kind in EXACT:
        _, conversion = converted(kind)
        ids = conversion.tokenizer.encode(text)
        assert conversion.tokenizer.decode(ids) == text
        assert all(i < conversion.size for i in ids)


def test_composed_and_decomposed_text_have_the_same_ids(converted: Convert) -> None:
    original, conversion = converted("qwen2")
    for text in ("e\u0301", "Å\u0301 ê\u0323 \u1100\u1161\u11a8", "한국어", "ñ n\u0303"):
        assert conversion.tokenizer.encode(text) == original.encode(text)


def test_words_that_are_tokens_are_taken_as_that(saved: Callable[[str], Path]) -> None:
    """Llama-3 gives a word its own token even where merging would not make it."""
    tokenizer = byte_level(split(LLAMA3), regex=False)
    content = json.loads(tokenizer.to_str())
    content["model"]["ignore_merges"] = True
    content["model"]["vocab"]["Ġqxzv"] = 3000
    path = saved("gpt2").with_name("whole.json")
    path.write_text(json.dumps(content))
    conversion = try_convert(path)
    assert conversion.tokenizer.encode("a qxzv (b)")[1] == 3000


@pytest.mark.parametrize(
    ("kind", "engine"), [("smollm", "litert-lm"), ("smollm", "mediapipe"), ("llama2", "litert-lm")]
)
def test_the_gate_finds_every_broken_part_of_a_character(
    converted: Convert, kind: str, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sentencepiece import sentencepiece_model_pb2

    original, conversion = converted(kind, engine)
    proto = sentencepiece_model_pb2.ModelProto.FromString(conversion.tokenizer.proto)
    texts = original.decode_batch([[i] for i in range(original.vocab_size)])
    partial = [i for i, text in enumerate(texts) if "\ufffd" in text]
    if kind == "llama2":  # whose other tokens are no part of anything
        partial = [i for i in partial if original.id_piece(i).startswith("<0x")]
    assert len(partial) > 100
    names = [proto.pieces[i].piece for i in partial]
    for number, name in zip(partial, names[1:] + names[:1], strict=True):
        proto.pieces[number].piece = name
    monkeypatch.setattr(
        "edgegen.bundle.tokenizers.convert._model", lambda *_: proto.SerializeToString()
    )
    monkeypatch.setattr("edgegen.bundle.tokenizers.gate.corpus_lines", lambda: iter([]))

    broken = try_convert(original, engine=engine).report
    before = conversion.report.classes[0]
    assert broken.classes[0].texts == before.texts
    assert broken.not_compared == 0
    assert broken.classes[0].decode_mismatches == before.decode_mismatches + len(partial)


def test_virtual_pieces_are_never_given_out(converted: Convert) -> None:
    _, conversion = converted("gpt2")
    tokenizer = conversion.tokenizer
    assert tokenizer.vocab_size == conversion.size
    assert tokenizer.piece_count > conversion.size
    seen = {i for _, text in corpus_lines(100) for i in tokenizer.encode(text)}
    assert max(seen) < conversion.size
    virtual = tokenizer._processor.id_to_piece(conversion.size + 1)
    assert tokenizer.piece_id(virtual) is None


def test_ids_are_filled_up_to_the_models(saved: Callable[[str], Path]) -> None:
    conversion = try_convert(saved("gpt2"), vocab_size=3100)
    assert conversion.size == conversion.tokenizer.vocab_size == 3100
    assert conversion.tokenizer.id_piece(3099) == "<unused 3099>"


def test_the_same_file_gives_the_same_bytes(saved: Callable[[str], Path]) -> None:
    once, again = (try_convert(saved("smollm")).tokenizer.proto for _ in range(2))
    assert once == again


def test_what_differs_blocks(saved: Callable[[str], Path], tmp_path: Path) -> None:
    with pytest.raises(TokenizerError) as caught:
        convert_tokenizer(saved("unigram"))
    assert str(caught.value.message).startswith(
        f"{saved('unigram')} cannot be converted without loss: "
    )
    assert caught.value.hint == (
        "write a .litertlm, which carries tokenizer.json itself, or allow the rate with "
        "--max-mismatch-rate: the model then sees other tokens in such texts"
    )
    allowed = convert_tokenizer(saved("unigram"), max_mismatch_rate=0.02)
    assert allowed.report.passed
    assert not allowed.report.exact


def test_the_report_is_json(converted: Convert) -> None:
    _, conversion = converted("gpt2")
    content = json.loads(json.dumps(conversion.to_json()))
    assert content["gate"]["texts"] >= 10_000
    assert list(content["gate"]["classes"]) == ["vocabulary", "added tokens", *class_names()]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"normalizer": {"type": "Lowercase"}},
            "normalizer Lowercase, expected none or NFC in a byte-level tokenizer",
        ),
        (
            {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True, "use_regex": True}},
            "pre_tokenizer ByteLevel(add_prefix_space=true), expected false in a byte-level "
            "tokenizer",
        ),
    ],
)
def test_what_is_not_understood_is_refused(
    saved: Callable[[str], Path], tmp_path: Path, change: dict[str, object], message: str
) -> None:
    path = tmp_path / "tokenizer.json"
    content = json.loads(saved("gpt2").read_text())
    if "pre_tokenizer" in change:
        change["pre_tokenizer"]["trim_offsets"] = True  # type: ignore[index]
    path.write_text(json.dumps({**content, **change}))
    with pytest.raises(TokenizerError) as caught:
        try_convert(path)
    assert caught.value.message == f"{path} has {message}"
    assert caught.value.hint == "write a .litertlm, which carries tokenizer.json itself"


def test_wordpiece_is_refused(saved: Callable[[str], Path]) -> None:
    path = saved("wordpiece")
    with pytest.raises(TokenizerError) as caught:
        try_convert(path)
    assert caught.value.message == (
        f"{path} is a WordPiece tokenizer, expected BPE or Unigram: SentencePiece has no model "
        "that cuts words as it does"
    )


def test_an_unknown_engine_is_a_mistake_of_the_caller(saved: Callable[[str], Path]) -> None:
    with pytest.raises(ValueError, match=r"no engine 'litert'; did you mean 'litert-lm'"):
        try_convert(saved("gpt2"), engine="litert")


def test_a_folder_with_tokenizer_json_alone_opens_through_the_gate(
    saved: Callable[[str], Path],
) -> None:
    folder = saved("gpt2").parent
    with pytest.raises(TokenizerError, match="cannot be converted without loss"):
        open_tokenizer(folder)
    tokenizer = open_tokenizer(folder, max_mismatch_rate=0.01, vocab_size=3100)
    assert isinstance(tokenizer, SentencePieceTokenizer)
    assert tokenizer.vocab_size == 3100


def test_every_kind_is_there() -> None:
    assert set(KINDS) >= {*EXACT, "llama3", "qwen2", "llama2", "unigram", "wordpiece"}
