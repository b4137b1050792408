from __future__ import annotations

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


@pytest.mark.parametrize("files", [("tokenizer.json",), ("vocab.json", "merges.txt")])
def test_other_kinds_of_tokenizers_are_refused_by_name(
    tmp_path: Path, files: tuple[str, ...]
) -> None:
    for name in files:
        (tmp_path / name).write_text("{}")
    with pytest.raises(TokenizerError, match=rf"holds {', '.join(files)} but no tokenizer\.model"):
        open_tokenizer(tmp_path)


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


def test_a_tokenizer_smaller_than_the_model_is_refused(folder: Path) -> None:
    assert open_tokenizer(folder, vocab_size=320)
    with pytest.raises(TokenizerError, match=r"has 320 pieces .* vocab_size is 321") as caught:
        open_tokenizer(folder, vocab_size=321)
    assert "resize_token_embeddings(320)" in str(caught.value.hint)


def test_a_file_too_large_to_be_a_tokenizer_is_not_read(folder: Path) -> None:
    with (folder / "tokenizer.model").open("r+b") as file:
        file.truncate(MAX_TOKENIZER_BYTES + 1)
    with pytest.raises(TokenizerError, match=f"at most {MAX_TOKENIZER_BYTES}"):
        open_tokenizer(folder)
