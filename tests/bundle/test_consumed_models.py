"""A model that becomes part of its bundle without a copy."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from edgegen.bundle import SentencePieceTokenizer, write_bundle
from edgegen.errors import BundleError
from edgegen.files import insert_gap
from tests.bundle.litertlm_files import FULL


@pytest.mark.parametrize("suffix", [".task", ".litertlm"])
@pytest.mark.parametrize("movable", [True, False], ids=["gap", "no gap"])
def test_a_consumed_model_becomes_the_same_bundle(
    tmp_path: Path,
    fake_tflite: Path,
    tokenizer: SentencePieceTokenizer,
    monkeypatch: pytest.MonkeyPatch,
    suffix: str,
    movable: bool,
) -> None:
    moved = []

    def gap(path: Path, nbytes: int) -> bool:
        moved.append(movable and insert_gap(path, nbytes))
        return moved[-1]

    monkeypatch.setattr("edgegen.bundle.formats.insert_gap", gap)
    copied = write_bundle(fake_tflite, tokenizer, FULL, tmp_path / f"copied{suffix}").path

    consumed = write_bundle(
        fake_tflite, tokenizer, FULL, tmp_path / f"consumed{suffix}", consume=True
    ).path

    assert consumed.read_bytes() == copied.read_bytes()
    assert not fake_tflite.exists()
    assert moved == [movable, movable] if movable else moved == [False]


def test_a_model_is_moved_without_a_copy_where_the_file_system_can(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc" * 10_000)

    done = insert_gap(path, 16384)

    assert path.read_bytes()[16384 if done else 0 :] == b"abc" * 10_000


def test_a_model_with_another_name_is_copied(
    tmp_path: Path, fake_tflite: Path, tokenizer: SentencePieceTokenizer
) -> None:
    before = fake_tflite.read_bytes()
    (tmp_path / "other").hardlink_to(fake_tflite)

    write_bundle(fake_tflite, tokenizer, FULL, tmp_path / "m.task", consume=True)

    assert (tmp_path / "other").read_bytes() == before


@pytest.mark.parametrize("suffix", [".task", ".litertlm"])
def test_what_cannot_be_written_is_found_before_the_model_moves(
    tmp_path: Path, fake_tflite: Path, tokenizer: SentencePieceTokenizer, suffix: str
) -> None:
    before = fake_tflite.read_bytes()
    broken = dataclasses.replace(FULL, system_prompt="x" * 2_000_000)
    with pytest.raises(BundleError, match="side section"):
        write_bundle(fake_tflite, tokenizer, broken, tmp_path / f"m{suffix}", consume=True)
    assert fake_tflite.read_bytes() == before
