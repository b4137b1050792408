"""Opening checkpoint folders: what is read, and how each damaged folder is refused."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from edgegen.author.checkpoint import open_checkpoint
from edgegen.author.safetensors_files import read_index
from edgegen.errors import CheckpointError
from tests.hf import save_checkpoint, tiny_config


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_checkpoint(tmp_path, tiny_config())
    return tmp_path


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@given(
    shape=st.lists(st.integers(1, 7), min_size=1, max_size=3),
    seed=st.integers(0, 1000),
)
def test_values_equal_the_safetensors_library(
    tmp_path_factory: pytest.TempPathFactory, dtype: torch.dtype, shape: list[int], seed: int
) -> None:
    path = tmp_path_factory.mktemp("st") / "x.safetensors"
    torch.manual_seed(seed)
    tensor = torch.randn(shape).to(dtype)
    save_file({"other": torch.zeros(3), "t": tensor}, path)

    entry = read_index(path)["t"]

    assert entry.shape == tuple(shape)
    np.testing.assert_array_equal(entry.read(), tensor.float().numpy())
    half = shape[0] // 2
    np.testing.assert_array_equal(entry.read_rows(half, shape[0]), tensor.float().numpy()[half:])


def test_shards_are_joined_through_the_index(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, tiny_config(), max_shard_size="100KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1

    checkpoint = open_checkpoint(tmp_path)

    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert checkpoint.tensors.keys() == index["weight_map"].keys()
    assert len(checkpoint.files) > 1
    assert checkpoint.nbytes == index["metadata"]["total_size"]


def refuse(folder: Path, found: str, hint: str) -> None:
    with pytest.raises(CheckpointError) as raised:
        open_checkpoint(folder)
    assert found in raised.value.message
    assert hint in (raised.value.hint or "")


def test_a_path_that_does_not_exist(tmp_path: Path) -> None:
    refuse(tmp_path / "nowhere", "does not exist", "hf download")


def test_a_file_instead_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    refuse(tmp_path / "model.gguf", "is a file", "local folder")


def test_a_folder_without_config(tmp_path: Path) -> None:
    refuse(tmp_path, "no config.json", "pass the folder")


def test_a_config_that_is_not_json(folder: Path) -> None:
    (folder / "config.json").write_text("{")
    refuse(folder, "not valid JSON", "again")


def test_a_config_that_is_a_list(folder: Path) -> None:
    (folder / "config.json").write_text("[]")
    refuse(folder, "holds a list", "again")


def test_a_config_of_absurd_size(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgegen.author.checkpoint.MAX_JSON_BYTES", 10)
    refuse(folder, "expected at most 10", "download")


def test_pickled_weights_only(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04")
    refuse(folder, "pickled weights only (pytorch_model.bin)", "never opened")


def test_no_weights_at_all(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    refuse(folder, "no *.safetensors", "download")


def test_two_files_without_an_index(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "first.safetensors")
    save_file({"a": torch.zeros(1)}, folder / "second.safetensors")
    refuse(folder, "holds 2 safetensors files", "index")


@pytest.fixture
def sharded(tmp_path: Path) -> Path:
    save_checkpoint(tmp_path, tiny_config(), max_shard_size="100KB")
    return tmp_path


def test_a_single_file_beside_an_index(sharded: Path) -> None:
    save_file({"a": torch.zeros(1)}, sharded / "model.safetensors")
    refuse(sharded, "both model.safetensors and model.safetensors.index.json", "keep one")


def test_what_a_shard_holds_beyond_the_index_is_not_lost(sharded: Path) -> None:
    shard = sorted(sharded.glob("*.safetensors"))[0]
    save_file({**load_file(shard), "model.extra": torch.zeros(1)}, shard)
    assert "model.extra" in open_checkpoint(sharded).tensors


def test_a_missing_shard(sharded: Path) -> None:
    first = sorted(sharded.glob("*.safetensors"))[0]
    first.unlink()
    refuse(sharded, f"shard {first.name} is missing", "finish the download")


def test_an_index_that_leaves_the_folder(sharded: Path) -> None:
    index = sharded / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "../../etc/passwd"}}))
    refuse(sharded, "not in the folder itself", "do not use")


def test_an_index_without_a_map(sharded: Path) -> None:
    (sharded / "model.safetensors.index.json").write_text("{}")
    refuse(sharded, "no `weight_map`", "again")


def test_an_index_that_promises_more_than_the_shards_hold(sharded: Path) -> None:
    index = sharded / "model.safetensors.index.json"
    content = json.loads(index.read_text())
    shard = next(iter(content["weight_map"].values()))
    content["weight_map"]["model.extra.weight"] = shard
    index.write_text(json.dumps(content))
    refuse(sharded, "such as model.extra.weight", "different models")


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"abc", "too few for a header"),
        (struct.pack("<Q", 1 << 60) + b"{}", "header claims"),
        (struct.pack("<Q", 2) + b"{]", "not JSON"),
        (struct.pack("<Q", 2) + b"[]", "not a JSON object"),
        (struct.pack("<Q", 200_000) + b"[" * 200_000, "not JSON"),
        (struct.pack("<Q", 8) + b'{"a": 1}', "malformed"),
    ],
)
def test_files_that_are_not_safetensors(folder: Path, content: bytes, found: str) -> None:
    (folder / "model.safetensors").write_bytes(content)
    refuse(folder, found, "download or copy it again")


def test_a_truncated_weight_file(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    refuse(folder, "should end at byte", "again")


def test_a_header_whose_shape_does_not_fit_its_bytes(folder: Path) -> None:
    header = json.dumps({"a": {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]}}).encode()
    content = struct.pack("<Q", len(header)) + header + bytes(8)
    (folder / "model.safetensors").write_bytes(content)
    refuse(folder, "has shape [3] F32 but 8 bytes", "again")


def test_a_file_that_shrinks_while_it_is_read(folder: Path) -> None:
    entry = read_index(folder / "model.safetensors")["model.embed_tokens.weight"]
    (folder / "model.safetensors").write_bytes(b"")
    with pytest.raises(CheckpointError, match="ends inside tensor"):
        entry.read()


def test_rows_outside_a_tensor_are_never_read(folder: Path) -> None:
    entry = read_index(folder / "model.safetensors")["model.embed_tokens.weight"]
    for start, stop in ((-1, 1), (0, 97), (5, 4)):
        with pytest.raises(IndexError, match=r"of model\.embed_tokens\.weight"):
            entry.read_rows(start, stop)


def test_weights_of_a_quantized_dtype(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(4, dtype=torch.int8)}, tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match="stored as I8, expected one of BF16, F16, F32"):
        read_index(tmp_path / "a.safetensors")["a"].read()
