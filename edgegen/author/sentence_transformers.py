"""What sentence-transformers puts beside a model: pooling and dense layers, in folders."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from edgegen.author.config_reader import ConfigReader
from edgegen.author.safetensors_files import TensorEntry, read_index
from edgegen.errors import CheckpointError, ConfigError

MODULES_FILE = "modules.json"
SECTION = "sentence_transformers"
"""Under which key the modules join the content of `config.json`."""

_MAX_BYTES = 1_000_000
# torch's names of what may follow a dense layer, and ours.
_ACTIVATIONS = {
    "torch.nn.modules.linear.Identity": None,
    "torch.nn.modules.activation.Tanh": "tanh",
}
_OTHER_POOLINGS = (
    "pooling_mode_cls_token",
    "pooling_mode_lasttoken",
    "pooling_mode_max_tokens",
    "pooling_mode_mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens",
)


@dataclass(frozen=True)
class DenseConfig:
    """A dense layer after the pooling.

    Attributes:
        folder: Where its tensors lie; their names start with it.
        in_features: Size of its input.
        out_features: Size of its output.
        bias: Whether it has a bias.
        activation: A key of `ACTIVATIONS`, or `None`.
    """

    folder: str
    in_features: int
    out_features: int
    bias: bool
    activation: str | None


@dataclass(frozen=True)
class Head:
    """What follows a model's last layer: a mean over the tokens, and then this.

    Attributes:
        dense: Dense layers.
        normalize: Whether the result is scaled to unit length.
    """

    dense: tuple[DenseConfig, ...] = ()
    normalize: bool = False


def open_modules(
    folder: Path, read_json: Callable[[Path], Any]
) -> tuple[list[dict[str, Any]], dict[str, TensorEntry]]:
    """Find the modules that `modules.json` lists beside the model itself.

    Args:
        folder: The checkpoint.
        read_json: Reads a file that must hold an object.

    Returns:
        For each module `type`, `path` and `config`; and the tensors of all of them, by their
        folder and name.

    Raises:
        CheckpointError: `modules.json` is damaged, or a file that it needs is missing.
    """
    listed = _read_list(folder / MODULES_FILE)
    modules: list[dict[str, Any]] = []
    tensors: dict[str, TensorEntry] = {}
    for item in listed:
        kind, path = item.get("type"), item.get("path")
        if not isinstance(kind, str) or not _is_folder_name(path):
            raise CheckpointError(
                f"{folder / MODULES_FILE} lists a module with type={kind!r} and path={path!r}, "
                "expected the name of a class and of a folder beside it",
                "download it again; if it is as published, do not use this checkpoint",
            )
        config, weights = folder / path / "config.json", folder / path / "model.safetensors"
        own = path and config.is_file()
        name = kind.rpartition(".")[2]
        if name in ("Dense", "Pooling") and not own:
            raise CheckpointError(
                f"{folder / MODULES_FILE} lists {path}, but {config} is missing",
                "download the folder too: the embedding needs it",
            )
        modules.append({"type": name, "path": path, "config": read_json(config) if own else {}})
        if name == "Dense":
            if not weights.is_file():
                raise CheckpointError(
                    f"{folder / MODULES_FILE} lists {path}, but {weights} is missing",
                    "download it too: the embedding needs it, and only safetensors are read",
                )
            tensors |= {f"{path}.{key}": entry for key, entry in read_index(weights).items()}
    return modules, tensors


def _is_folder_name(path: object) -> TypeGuard[str]:
    """Tell whether it names a folder right below, or (empty) the checkpoint itself."""
    return isinstance(path, str) and Path(path).name == path and path != ".."


def read_head(modules: object) -> Head:
    """Sort the modules that follow the model, as `open_modules` returns them.

    Without any, sentence-transformers takes the mean and leaves it at that.

    Raises:
        ConfigError: they ask for what is not authored.
    """
    if not modules:
        return Head()
    if not isinstance(modules, list) or not all(isinstance(item, Mapping) for item in modules):
        raise ConfigError(
            f"config.json has {SECTION} of its own, expected {MODULES_FILE}",
            f"take {SECTION} out of config.json",
        )
    kinds = [str(item["type"]) for item in modules]
    wanted = ["Transformer", "Pooling"] + ["Dense"] * kinds.count("Dense")
    if kinds not in (wanted, [*wanted, "Normalize"]):
        raise ConfigError(
            f"{MODULES_FILE} lists {', '.join(kinds)}, expected Transformer, Pooling, "
            "then Dense where there are, then Normalize or nothing",
            "only embeddings of that form are authored",
        )
    _check_pooling(ConfigReader(modules[1]["config"]), modules[1]["path"])
    dense = [
        _read_dense(item["path"], ConfigReader(item["config"]))
        for item in modules[2:]
        if item["type"] == "Dense"
    ]
    return Head(tuple(dense), kinds[-1] == "Normalize")


def _check_pooling(reader: ConfigReader, path: str) -> None:
    for key in _OTHER_POOLINGS:
        reader.must_be(key, False)
    # A mean over the instruction too; newer versions write the mode as a word.
    for key, only in (
        ("pooling_mode_mean_tokens", True),
        ("pooling_mode", "mean"),
        ("include_prompt", True),
    ):
        reader.must_be(key, only)
    harmless = dict.fromkeys(
        ("word_embedding_dimension", "embedding_dimension"), "the model's hidden_size"
    )
    reader.finish(harmless, f"{path}/config.json")


def _read_dense(path: str, reader: ConfigReader) -> DenseConfig:
    activation = reader.word(
        "activation_function", "torch.nn.modules.activation.Tanh", tuple(_ACTIVATIONS)
    )
    for key in ("module_input_name", "module_output_name"):
        reader.must_be(key, "sentence_embedding")
    dense = DenseConfig(
        path,
        reader.integer("in_features"),
        reader.integer("out_features"),
        reader.flag("bias", True),
        _ACTIVATIONS[activation],
    )
    reader.finish({}, f"{path}/config.json")
    return dense


def _read_list(path: Path) -> list[dict[str, Any]]:
    if path.stat().st_size > _MAX_BYTES:
        raise CheckpointError(
            f"{path} has {path.stat().st_size} bytes, expected at most {_MAX_BYTES}",
            "this is not the file that sentence-transformers writes; download it again",
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{path} is not valid JSON: {error}", "download or copy it again"
        ) from error
    if not isinstance(content, list) or not all(isinstance(item, dict) for item in content):
        raise CheckpointError(f"{path} holds no list of modules", "download or copy it again")
    return content
