"""Opening a Hugging Face checkpoint folder: configs and lazily read safetensors shards."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgegen.author.safetensors_files import TensorEntry, read_index
from edgegen.author.sentence_transformers import MODULES_FILE, SECTION, open_modules
from edgegen.author.tensor_source import TensorSource
from edgegen.errors import CheckpointError, OutputError

# A config is a page of text. Anything near this is not a config.
MAX_JSON_BYTES = 64_000_000
MAX_JSON_DEPTH = 32
_INDEX = "model.safetensors.index.json"
_SINGLE = "model.safetensors"
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")


@dataclass(frozen=True)
class Adapter:
    """A LoRA adapter that was merged into a checkpoint.

    Attributes:
        path: Its folder.
        scale: What its own scaling is multiplied with.
        files: Its files, weights and config.
    """

    path: Path
    scale: float
    files: tuple[Path, ...]


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint folder whose files have been found and whose headers have been read.

    Attributes:
        path: The folder.
        config: Content of `config.json`.
        generation_config: Content of `generation_config.json`, `{}` where absent.
        tokenizer_config: Content of `tokenizer_config.json`, `{}` where absent.
        tensors: Every tensor by name; the data stays on disk.
        files: The files that hold the tensors' values, each once; with an adapter, its own too.
        nbytes: Size of all stored tensors.
        adapter: What `edgegen.author.lora.merge_adapter` added, if anything.
    """

    path: Path
    config: Mapping[str, Any]
    generation_config: Mapping[str, Any] = field(repr=False)
    tokenizer_config: Mapping[str, Any] = field(repr=False)
    tensors: Mapping[str, TensorSource] = field(repr=False)
    files: tuple[Path, ...] = field(repr=False)
    nbytes: int
    adapter: Adapter | None = None

    def refuse_own(self, output: Path) -> None:
        """Refuse an output that would replace a file of the checkpoint or of its adapter.

        Raises:
            OutputError: it would.
        """
        folders = {"checkpoint": self.path}
        if self.adapter is not None:
            folders["adapter"] = self.adapter.path
        for what, folder in folders.items():
            if output.exists() and output.resolve().parent == folder.resolve():
                raise OutputError(
                    f"output {output} is a file of the {what} itself", "choose another name"
                )


def open_checkpoint(path: str | Path) -> Checkpoint:
    """Open a checkpoint folder (`config.json` and safetensors); no weights are read.

    Raises:
        CheckpointError: the folder or a file in it is missing, damaged, or holds pickled
            weights only, which are never opened.
    """
    folder = Path(path)
    if not folder.is_dir():
        found = "is a file" if folder.exists() else "does not exist"
        raise CheckpointError(
            f"checkpoint {folder} {found}, expected a folder with config.json and *.safetensors",
            "pass a local folder, for example one that `hf download` made",
        )
    if not (folder / "config.json").is_file():
        raise CheckpointError(
            f"{folder} is not a checkpoint folder: it has no config.json",
            "pass the folder that holds config.json, the safetensors files and the tokenizer",
        )
    config, tensors = read_json_object(folder / "config.json"), _tensors(folder)
    # Of models that write text the folder's other modules make an embedding, which is not asked.
    if SECTION in config:
        raise CheckpointError(
            f"{folder / 'config.json'} has {SECTION} of its own, expected {MODULES_FILE}",
            f"take {SECTION} out of config.json",
        )
    if config.get("use_bidirectional_attention") is True:
        if not (folder / MODULES_FILE).is_file():
            raise CheckpointError(
                f"{folder} holds an embedding model, but {MODULES_FILE} is missing, which says how "
                "its layers' output becomes one vector",
                f"download {MODULES_FILE} and the folders that it names, too",
            )
        modules, more = open_modules(folder, read_json_object)
        config, tensors = {**config, SECTION: modules}, {**tensors, **more}
    return Checkpoint(
        path=folder,
        config=config,
        generation_config=_optional_json(folder / "generation_config.json"),
        tokenizer_config=_optional_json(folder / "tokenizer_config.json"),
        tensors=tensors,
        files=tuple(sorted({entry.path for entry in tensors.values()})),
        nbytes=sum(entry.nbytes for entry in tensors.values()),
    )


def read_json_object(path: Path) -> dict[str, Any]:
    """Read a JSON file that must hold an object.

    Raises:
        CheckpointError: it is too long, not JSON, or not an object.
    """
    if path.stat().st_size > MAX_JSON_BYTES:
        raise CheckpointError(
            f"{path} has {path.stat().st_size} bytes, expected at most {MAX_JSON_BYTES}",
            "this is not the file that transformers writes; download the checkpoint again",
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{path} is not valid JSON: {error}", "download or copy it again"
        ) from error
    if _deeper_than(content, MAX_JSON_DEPTH):
        raise CheckpointError(
            f"{path} is nested more than {MAX_JSON_DEPTH} deep",
            "this is not the file that transformers writes; download the checkpoint again",
        )
    if not isinstance(content, dict):
        raise CheckpointError(
            f"{path} holds a {type(content).__name__}, expected a JSON object",
            "download or copy it again",
        )
    return content


def _deeper_than(content: object, limit: int) -> bool:
    """Tell whether lists and objects lie within one another more than `limit` times."""
    level = [content]
    for _ in range(limit + 1):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
    return bool(level)


def _optional_json(path: Path) -> dict[str, Any]:
    return read_json_object(path) if path.is_file() else {}


def _tensors(folder: Path) -> dict[str, TensorEntry]:
    single = folder / _SINGLE
    if (folder / _INDEX).is_file():
        if single.is_file():
            raise CheckpointError(
                f"{folder} holds both {_SINGLE} and {_INDEX}, which may be of different models",
                "keep one of them: the single file, or the index with its shards",
            )
        return _sharded_tensors(folder)
    files = [single] if single.is_file() else sorted(folder.glob("*.safetensors"))
    if not files:
        pickles = sorted(p.name for pattern in _PICKLES for p in folder.glob(pattern))
        if pickles:
            raise CheckpointError(
                f"{folder} holds pickled weights only ({', '.join(pickles[:3])}), "
                "expected *.safetensors",
                "pickles can run code and are never opened; save the model again with "
                "transformers: model.save_pretrained(folder)",
            )
        raise CheckpointError(
            f"{folder} holds no *.safetensors file", "download the weights into this folder"
        )
    if len(files) > 1:
        raise CheckpointError(
            f"{folder} holds {len(files)} safetensors files but no {_INDEX} that joins them",
            f"download {_INDEX} too, or keep only the files of one model",
        )
    return read_index(files[0])


def _sharded_tensors(folder: Path) -> dict[str, TensorEntry]:
    weight_map = read_json_object(folder / _INDEX).get("weight_map")
    if not isinstance(weight_map, dict) or not all(
        isinstance(shard, str) for shard in weight_map.values()
    ):
        raise CheckpointError(
            f"{folder / _INDEX} has no `weight_map` from tensor to file", "download it again"
        )
    shards: dict[str, dict[str, TensorEntry]] = {}
    for shard in sorted(set(weight_map.values())):
        if Path(shard).name != shard:
            raise CheckpointError(
                f"{folder / _INDEX} names the file {shard!r}, which is not in the folder itself",
                "an index may only name files beside it; do not use this checkpoint",
            )
        if not (folder / shard).is_file():
            raise CheckpointError(
                f"shard {shard} is missing from {folder}",
                "finish the download: every file that the index names must be there",
            )
        shards[shard] = read_index(folder / shard)
    missing = sorted(name for name, shard in weight_map.items() if name not in shards[shard])
    if missing:
        raise CheckpointError(
            f"{_INDEX} promises {len(missing)} tensors that its shards do not hold, "
            f"such as {missing[0]}",
            "index and shards are of different models; download all of them again",
        )
    # What a shard holds beyond the index is kept too: it must be accounted for like the rest.
    stored = {name: entry for shard in shards.values() for name, entry in shard.items()}
    return {**stored, **{name: shards[shard][name] for name, shard in weight_map.items()}}
