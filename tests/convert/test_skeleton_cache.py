"""What was traced before is not traced again, and what differs is."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

import edgegen
from edgegen.author import AuthoredModel
from edgegen.convert import ExportSpec, skeleton, skeleton_cache
from edgegen.convert.reduction import find_reduction
from edgegen.convert.skeleton_cache import (
    cache_folder,
    keep_skeleton,
    load_skeleton,
    skeleton_key,
)
from tests.convert.ordinary import differences
from tests.hf import save_checkpoint, tiny_config

SPEC = ExportSpec((8,), 32)
PARTS = {"prefill_8": b"a" * 100, "decode": b"b"}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGEGEN_CACHE_DIR", str(tmp_path / "kept"))
    return tmp_path / "kept"


def model(folder: Path, seed: int = 0, **changes: Any) -> AuthoredModel:
    save_checkpoint(folder, tiny_config(**changes), seed=seed)
    return edgegen.author_model(edgegen.open_checkpoint(folder))


def key(found: AuthoredModel, spec: ExportSpec = SPEC) -> str:
    return skeleton_key(found, spec, find_reduction(found.module))


class TestFolder:
    def test_the_variable_names_it(self, folder: Path) -> None:
        assert cache_folder() == folder

    def test_an_empty_variable_keeps_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("EDGEGEN_CACHE_DIR", "")

        keep_skeleton("k", PARTS)

        assert cache_folder() is None
        assert load_skeleton("k") is None

    def test_without_it_it_is_the_users(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.delenv("EDGEGEN_CACHE_DIR")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
        assert cache_folder() == tmp_path / "xdg" / "edgegen" / "skeletons"
        monkeypatch.delenv("XDG_CACHE_HOME")
        monkeypatch.setenv("HOME", str(tmp_path))
        assert cache_folder() == tmp_path / ".cache" / "edgegen" / "skeletons"


class TestEntries:
    def test_what_is_kept_is_found(self) -> None:
        keep_skeleton("k", PARTS)

        assert load_skeleton("k") == PARTS
        assert load_skeleton("other") is None

    @pytest.mark.parametrize(
        "damage",
        [
            lambda content: content[:-40],
            lambda content: b"",
            lambda content: content.replace(b"prefill_8", b"prefill_9", 1),
            lambda content: content[:45] + b"\xff\xff" + content[47:],
        ],
        ids=["cut short", "empty", "another name", "other bytes"],
    )
    def test_a_damaged_entry_is_none(
        self, folder: Path, damage: Callable[[bytes], bytes], caplog: pytest.LogCaptureFixture
    ) -> None:
        keep_skeleton("k", PARTS)
        path = folder / "k.skeleton"
        path.write_bytes(damage(path.read_bytes()))

        with caplog.at_level("INFO", logger="edgegen.convert"):
            assert load_skeleton("k") is None
        assert "cannot be read and is made anew" in caplog.text

    def test_one_that_claims_to_be_huge_is_not_read(self, monkeypatch: pytest.MonkeyPatch) -> None:
        keep_skeleton("k", PARTS)
        monkeypatch.setattr(skeleton_cache, "_MOST_BYTES", 50)

        assert load_skeleton("k") is None

    def test_the_least_recently_used_make_room(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(skeleton_cache, "MAX_ENTRIES", 2)
        for age, name in ((300, "first"), (200, "second")):
            keep_skeleton(name, PARTS)
            os.utime(folder / f"{name}.skeleton", (1_000_000 - age, 1_000_000 - age))
        load_skeleton("first")  # used just now

        keep_skeleton("third", PARTS)

        assert sorted(path.stem for path in folder.iterdir()) == ["first", "third"]

    def test_a_folder_that_cannot_be_written_stops_nothing(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("EDGEGEN_CACHE_DIR", str(tmp_path / "file" / "below"))

        with caplog.at_level("INFO", logger="edgegen.convert"):
            keep_skeleton("k", PARTS)

        assert "the traced graph is not kept" in caplog.text


class TestKey:
    def test_a_repeating_decoders_is_that_of_other_weights(self, tmp_path: Path) -> None:
        a = model(tmp_path / "a", num_hidden_layers=6)
        assert key(a) == key(model(tmp_path / "b", 1, num_hidden_layers=6))

    def test_where_vectors_are_in_the_graph_they_count(self, tmp_path: Path) -> None:
        a = model(tmp_path / "a", num_hidden_layers=2)
        assert key(a) == key(model(tmp_path / "b", 0, num_hidden_layers=2))

        path = tmp_path / "b" / "model.safetensors"
        state = load_file(path)
        state["model.norm.weight"][3] += 1
        save_file(state, path)
        b = edgegen.author_model(edgegen.open_checkpoint(tmp_path / "b"))
        assert key(a) != key(b)

    @pytest.mark.parametrize(
        "changes",
        [{"rope_theta": 12345.0}, {"num_hidden_layers": 7}, {"rms_norm_eps": 1e-4}],
        ids=str,
    )
    def test_the_config_counts(self, tmp_path: Path, changes: dict[str, Any]) -> None:
        a = model(tmp_path / "a", num_hidden_layers=6)
        assert key(a) != key(model(tmp_path / "b", **{"num_hidden_layers": 6, **changes}))

    @pytest.mark.parametrize(
        "spec", [ExportSpec((16,), 32), ExportSpec((8, 16), 32), ExportSpec((8,), 64)], ids=str
    )
    def test_the_signatures_count(self, tmp_path: Path, spec: ExportSpec) -> None:
        a = model(tmp_path / "a")
        assert key(a) != key(a, spec)

    def test_the_code_and_the_converter_count(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        a = model(tmp_path / "a")
        keys = {key(a)}
        monkeypatch.setattr(skeleton_cache, "_code_digest", lambda: "other")
        keys.add(key(a))
        monkeypatch.setattr(skeleton_cache.metadata, "version", lambda _: "99")
        keys.add(key(a))

        assert len(keys) == 3


def test_a_second_model_of_the_shape_is_not_traced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And has its own vectors all the same."""
    first = model(tmp_path / "a", 0, num_hidden_layers=6)
    second = model(tmp_path / "b", 1, num_hidden_layers=6)
    edgegen.convert_model(first, tmp_path / "a.tflite", spec=SPEC, recipe="none")

    def fail(*_: object) -> None:
        raise AssertionError("the model was traced")

    with monkeypatch.context() as patch:
        patch.setattr(skeleton, "_run_worker", fail)
        made = edgegen.convert_model(second, tmp_path / "b.tflite", spec=SPEC, recipe="none")
    monkeypatch.setenv("EDGEGEN_CACHE_DIR", "")
    anew = edgegen.convert_model(second, tmp_path / "c.tflite", spec=SPEC, recipe="none")

    assert not differences(anew.path, made.path)
    assert differences(tmp_path / "a.tflite", made.path)
