from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgegen.bundle import SentencePieceTokenizer, open_tokenizer
from edgegen.bundle.tokenizer import MAX_TOKENIZER_BYTES
from edgegen.errors import TokenizerError

# SentencePiece writes spaces as U+2581, so that character comes back as a space.
TEXTS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\u2581"))


@pytest.fixture
def folder(tmp_path: Path, proto: bytes) -> Path:
    (tmp_path / "tokenizer.model").write_bytes(proto)
    return tmp_path


def test_opens_the_sentencepiece_file_of_a_checkpoint(folder: Path, proto: bytes) -> None:
    tokenizer = open_tokenizer(folder)

    assert tokenizer.path == folder / "tokenizer.model"
    assert tokenizer.proto == proto
    assert tokenizer.vocab_size == 320


def test_opens_spiece_model_where_there_is_no_tokenizer_model(folder: Path) -> None:
    (folder / "tokenizer.model").rename(folder / "spiece.model")

    assert open_tokenizer(folder).path.name == "spiece.model"


@given(text=TEXTS)
def test_text_survives_encoding(tokenizer: SentencePieceTokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_every_piece_has_its_own_id(tokenizer: SentencePieceTokenizer) -> None:
    for token_id in range(tokenizer.vocab_size):
        assert tokenizer.piece_id(tokenizer.id_piece(token_id)) == token_id


def test_an_unknown_piece_has_no_id_though_the_unknown_piece_has(
    tokenizer: SentencePieceTokenizer,
) -> None:
    assert tokenizer.piece_id("no such piece") is None
    assert tokenizer.piece_id("<unk>") == 0


@pytest.mark.parametrize("token_id", [-1, 320])
def test_ids_outside_the_vocabulary_are_refused(
    tokenizer: SentencePieceTokenizer, token_id: int
) -> None:
    for use in (tokenizer.id_piece, lambda i: tokenizer.decode([i])):
        with pytest.raises(TokenizerError, match=f"token id {token_id} .* 320 pieces") as caught:
            use(token_id)
        assert caught.value.hint


def test_a_folder_without_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match="holds no tokenizer") as caught:
        open_tokenizer(tmp_path)
    assert "copy" in str(caught.value.hint)


def test_other_kinds_of_tokenizers_are_refused_by_name(tmp_path: Path) -> None:
    for name in ("vocab.json", "merges.txt"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(TokenizerError) as caught:
        open_tokenizer(tmp_path)
    assert caught.value.message == (
        f"{tmp_path} holds vocab.json, merges.txt but no tokenizer.model, spiece.model or "
        "tokenizer.json"
    )
    assert caught.value.hint == (
        "load the tokenizer with transformers' AutoTokenizer and save it: that writes a "
        "tokenizer.json, which can be converted"
    )


@pytest.mark.parametrize("keep", [0, 3, 1000])
def test_a_damaged_file_is_refused(folder: Path, proto: bytes, keep: int) -> None:
    (folder / "tokenizer.model").write_bytes(proto[:keep])
    tokenizer = open_tokenizer(folder)
    with pytest.raises(TokenizerError, match=rf"\({keep} bytes\) is not a SentencePiece") as caught:
        _ = tokenizer.vocab_size
    assert "download" in str(caught.value.hint)


def test_a_git_lfs_pointer_is_refused_when_the_size_is_checked(folder: Path) -> None:
    (folder / "tokenizer.model").write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(TokenizerError, match="is not a SentencePiece model"):
        open_tokenizer(folder, vocab_size=320)


def test_a_tokenizer_smaller_than_the_model_is_filled_up(folder: Path) -> None:
    whole = open_tokenizer(folder, vocab_size=320)
    filled = open_tokenizer(folder, vocab_size=336)
    assert (whole.vocab_size, filled.vocab_size) == (320, 336)
    assert filled.id_piece(335) == "<unused 335>"
    text = "to be or not, <end_of_turn> é 🦊"
    assert filled.encode(text) == whole.encode(text)
    assert filled.decode(filled.encode(text)) == text


def test_a_tokenizer_that_lacks_more_than_padding_is_refused(folder: Path) -> None:
    with pytest.raises(TokenizerError) as caught:
        open_tokenizer(folder, vocab_size=384)
    path = folder / "tokenizer.model"
    assert caught.value.message == f"{path} has 320 pieces but the model's vocab_size is 384"
    assert caught.value.hint is not None


def test_tokens_that_only_tokenizer_json_has_are_added(folder: Path) -> None:
    flags = {"special": True, "normalized": False, "single_word": False}
    added = [{"id": 322, "content": "<|tool|>", **flags}, {"id": 1, "content": "<s>", **flags}]
    model = {"type": "BPE", "vocab": {"a": 0}, "merges": []}
    content = {"model": model, "added_tokens": added}
    (folder / "tokenizer.json").write_text(json.dumps(content))
    tokenizer = open_tokenizer(folder)
    assert tokenizer.vocab_size == 323
    assert tokenizer.piece_id("<|tool|>") == 322
    assert 322 in tokenizer.encode("to be<|tool|>or not")
    assert tokenizer.id_piece(321) == "<unused 321>"


def test_a_file_too_large_to_be_a_tokenizer_is_not_read(folder: Path) -> None:
    with (folder / "tokenizer.model").open("r+b") as file:
        file.truncate(MAX_TOKENIZER_BYTES + 1)
    with pytest.raises(TokenizerError, match=f"at most {MAX_TOKENIZER_BYTES}"):
        open_tokenizer(folder)
