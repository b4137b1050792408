"""Adding a LoRA adapter, as peft saves it, to the checkpoint it was trained on.

Engines for phones cannot add adapters of their own to a bundle (`docs/explanation/lora.md`), so
the sum is stored: W + scale * B A, computed a few rows at a time while the weights stream.
Neither the merged model nor the adapter is ever in memory as a whole.

Tensor names are peft's: `base_model.model.<module>.lora_A.weight`, where `<module>` is the
name of the module in the base model.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgegen.author.checkpoint import Adapter, Checkpoint
from edgegen.author.lora_config import CONFIG_FILE, EMBEDDINGS, HEAD, read_lora_config
from edgegen.author.lora_tensors import (
    AdapterTensors,
    account,
    is_tied_kind,
    module_of,
    require_same_base,
)
from edgegen.author.safetensors_files import read_index
from edgegen.author.tensor_source import TensorSource
from edgegen.errors import CheckpointError

WEIGHTS_FILE = "adapter_model.safetensors"

# Blocks come matrix by matrix, each read by a few threads: what was read last is read again.
_CACHED_FACTORS = 4

Factor = npt.NDArray[np.float32]


@dataclass(frozen=True)
class AdaptedTensor(TensorSource):
    """A weight with an adapter's product added: `base + scale * B A`.

    Attributes:
        name: The base's name.
        shape: The base's shape, `[out, in]`.
        base: The stored weight.
        a: `lora_A`, `[r, in]`.
        b: `lora_B`, `[out, r]`.
        scale: What the product is multiplied with.
        turned: The base is stored as `[in, out]`, as embeddings (`[vocabulary, hidden]`) and
            GPT-2's layers are; it then gets the product transposed.
        read_factor: Reads a whole matrix of the adapter, and remembers the last few.
    """

    name: str
    shape: tuple[int, ...]
    base: TensorSource
    a: TensorSource
    b: TensorSource
    scale: float
    turned: bool
    read_factor: Callable[[TensorSource], Factor] = field(repr=False, compare=False)

    def read_rows(self, start: int, stop: int) -> npt.NDArray[np.float32]:
        """Read merged rows `start..stop`; see `TensorSource.read_rows`."""
        rows = self.base.read_rows(start, stop)
        if self.turned:
            left, right = self.read_factor(self.a)[:, start:stop].T, self.read_factor(self.b).T
        else:
            left, right = self.b.read_rows(start, stop), self.read_factor(self.a)
        product = left @ right  # [stop - start, r] @ [r, columns]
        product *= np.float32(self.scale)
        product += rows
        return product

    def require_float(self) -> None:
        """Raise `CheckpointError` if the values are not floats that float32 can hold."""
        for source in (self.base, self.a, self.b):
            source.require_float()


def merge_adapter(
    checkpoint: Checkpoint, adapter: str | Path, scale: float | None = None
) -> Checkpoint:
    """Return the checkpoint as it is with a LoRA adapter merged into it; no weights are read.

    A model that ties its embedding to its head and whose adapter changes one of the two is
    untied: in training, too, each was computed on its own.

    Args:
        checkpoint: The base that the adapter was trained on.
        adapter: The folder that peft's `save_pretrained` made, with `adapter_config.json` and
            `adapter_model.safetensors`.
        scale: Multiplies the adapter's own scaling; 1.0 by default.

    Raises:
        CheckpointError: the folder is none of peft's, is damaged, holds pickled weights only
            (which are never opened), or the checkpoint has an adapter already.
        ConfigError: `adapter_config.json` asks for something else than plain LoRA.
        WeightsError: the adapter is of another base, or its tensors are not those, all of
            those and only those that its config and the base ask for.
    """
    folder = Path(adapter)
    factor = _checked_scale(scale)
    if checkpoint.adapter is not None:
        raise CheckpointError(
            f"the checkpoint {checkpoint.path} already has the adapter {checkpoint.adapter.path}",
            "merge one of the two with peft first: merge_and_unload(), save_pretrained(folder)",
        )
    _require_adapter_folder(folder)
    config = read_lora_config(folder)
    found = AdapterTensors.of(read_index(folder / WEIGHTS_FILE), config)
    prefix = _missing_prefix(checkpoint, found)
    tensors, changes = _untied(checkpoint, found, prefix)
    require_same_base(folder, checkpoint.path, found, tensors, config)
    found.turned_layers = _stores_turned(checkpoint)
    account(folder, found, tensors, config)
    tensors.update({**found.base, **found.saved})
    remembered = lru_cache(maxsize=_CACHED_FACTORS)(_read)
    for module, pair in found.pairs.items():
        base = tensors[f"{module}.weight"]
        tensors[f"{module}.weight"] = AdaptedTensor(
            name=base.name,
            shape=base.shape,
            base=base,
            a=pair["A"],
            b=pair["B"],
            scale=factor * config.scaling(module),
            turned=found.turned(module),
            read_factor=remembered,
        )
    files = (folder / WEIGHTS_FILE, folder / CONFIG_FILE)
    return replace(
        checkpoint,
        config={**checkpoint.config, **changes},
        tensors={name.removeprefix(prefix): tensor for name, tensor in tensors.items()},
        files=(*checkpoint.files, *files),
        nbytes=checkpoint.nbytes + found.nbytes,
        adapter=Adapter(folder, factor, files),
    )


def _stores_turned(checkpoint: Checkpoint) -> bool:
    """Tell whether the base keeps its linear layers as `[in, out]`, as GPT-2's `Conv1D`.

    The adapter's own `fan_in_fan_out` does not tell: peft ignores it for ordinary layers, and
    for GPT-2 writes down what the last layer that it saw has.
    """
    from edgegen.author.models import architecture_of
    from edgegen.author.weights import Rename, Transpose

    chosen = architecture_of(checkpoint.config)
    weight_map = chosen.weight_map(chosen.read_config(checkpoint.config))
    return any(
        isinstance(view, Transpose)
        for entry in weight_map
        if isinstance(entry, Rename)
        for view in entry.views
    )


def _read(source: TensorSource) -> Factor:
    return source.read()


def _checked_scale(scale: float | None) -> float:
    factor = 1.0 if scale is None else float(scale)
    if not math.isfinite(factor):
        raise CheckpointError(
            f"the adapter's scale is {factor}, expected a finite number",
            "1 applies the adapter as it was trained, 0.5 half of it, 0 nothing",
        )
    return factor


def _require_adapter_folder(folder: Path) -> None:
    if not folder.is_dir():
        found = "is a file" if folder.exists() else "does not exist"
        raise CheckpointError(
            f"adapter {folder} {found}, expected a folder with {CONFIG_FILE} and {WEIGHTS_FILE}",
            "pass a local folder, for example one that `hf download` made",
        )
    if not (folder / CONFIG_FILE).is_file():
        whole = (folder / "config.json").is_file()
        raise CheckpointError(
            f"{folder} is not an adapter folder: it has no {CONFIG_FILE}",
            "it looks like a whole checkpoint: build from it without an adapter"
            if whole
            else "pass the folder that peft's save_pretrained made",
        )
    if not (folder / WEIGHTS_FILE).is_file():
        pickles = sorted(path.name for path in folder.glob("adapter_model.*"))
        if pickles:
            raise CheckpointError(
                f"adapter {folder} holds {', '.join(pickles)}, expected {WEIGHTS_FILE}",
                "pickles can run code and are never opened; load the adapter with peft and save "
                "it again: save_pretrained(folder, safe_serialization=True)",
            )
        raise CheckpointError(
            f"adapter {folder} holds no {WEIGHTS_FILE}", "download the weights into this folder"
        )


def _missing_prefix(checkpoint: Checkpoint, found: AdapterTensors) -> str:
    """Return what the adapter's module names begin with and the checkpoint's do not.

    A model without its head is saved without the part of the names that holds all the rest,
    such as `transformer.` in GPT-2's first files; transformers adds it when it loads them.
    """
    for prefix in dict.fromkeys(module.partition(".")[0] + "." for module in found.modules):
        inner = [m.removeprefix(prefix) for m in found.modules if m.startswith(prefix)]
        if not any(name.startswith(prefix) for name in checkpoint.tensors) and any(
            f"{module}.weight" in checkpoint.tensors for module in inner
        ):
            return prefix
    return ""


def _untied(
    checkpoint: Checkpoint, found: AdapterTensors, prefix: str
) -> tuple[dict[str, TensorSource], dict[str, bool]]:
    """Return the base's tensors by their names in memory, and what changes in `config.json`.

    Two matrices that are one in the base are two from here on if the adapter changes either.
    """
    tensors: dict[str, TensorSource] = {
        name if module_of(name) == HEAD else prefix + name: tensor
        for name, tensor in checkpoint.tensors.items()
    }
    embedding = next((n for n in tensors if module_of(n).rpartition(".")[2] in EMBEDDINGS), None)
    changed = [*found.modules, *map(module_of, found.base)]
    if embedding is None or not any(is_tied_kind(module) for module in changed):
        return tensors, {}
    tensors.setdefault(f"{HEAD}.weight", found.base.get(embedding, tensors[embedding]))
    # LFM2 has an older name for it that goes first.
    older = [key for key in ("tie_embedding",) if key in checkpoint.config]
    return tensors, dict.fromkeys(["tie_word_embeddings", *older], False)
