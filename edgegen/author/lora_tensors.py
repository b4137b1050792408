"""An adapter's tensors: what each is for, and whether they are those of its config and base.

Names are peft's: `base_model.model.<module>.lora_A.weight`, where `<module>` is the name of the
module in the base model.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edgegen.author.lora_config import CONFIG_FILE, EMBEDDINGS, HEAD, MERGE_ELSEWHERE, LoraConfig
from edgegen.author.safetensors_files import TensorEntry
from edgegen.author.tensor_source import TensorSource
from edgegen.errors import WeightsError

_PREFIX = "base_model.model."
# Old versions of peft left the adapter's name in its tensors'; it is always this one.
_MATRIX = re.compile(r"(?P<module>.+)\.lora_(?P<side>[AB])(\.default)?\.weight")
_EMBEDDING_MATRIX = re.compile(r"(?P<module>.+)\.lora_embedding_(?P<side>[AB])(\.default)?")
_WHOLE = re.compile(r"(?P<module>.+?)(\.modules_to_save(\.default)?)?\.(?P<parameter>[^.]+)")
_BASE = re.compile(r"(?P<module>.+)\.base_layer\.(?P<parameter>[^.]+)")

_LISTED_LINES = 20
_OTHER_BASE = "pass the checkpoint that the adapter was trained on, unchanged"


@dataclass
class AdapterTensors:
    """An adapter's tensors by what they are for.

    Attributes:
        pairs: For each module its `lora_A` and `lora_B`, under `A` and `B`.
        embeddings: Those modules whose matrices are `lora_embedding_A` and `_B`.
        saved: Whole tensors (`modules_to_save`), by their names in the base.
        base: Copies of the base's own, which peft stores beside adapted embeddings.
        unused: Tensors that are none of these.
        nbytes: Size of all.
        turned_layers: The base's linear layers are stored as `[in, out]`.
    """

    pairs: dict[str, dict[str, TensorEntry]] = field(default_factory=dict)
    embeddings: set[str] = field(default_factory=set)
    saved: dict[str, TensorEntry] = field(default_factory=dict)
    base: dict[str, TensorEntry] = field(default_factory=dict)
    unused: dict[str, TensorEntry] = field(default_factory=dict)
    nbytes: int = 0
    turned_layers: bool = False

    @classmethod
    def of(cls, entries: Mapping[str, TensorEntry], config: LoraConfig) -> AdapterTensors:
        """Sort the tensors of an adapter's file."""
        found = cls()
        for name, entry in entries.items():
            found.nbytes += entry.nbytes
            place, key = found._place(name, config)
            # The same tensor under an old and a new name: which of the two counts?
            if key in place:
                place, key = found.unused, name
            place[key] = entry
        return found

    @property
    def modules(self) -> list[str]:
        """The modules that the adapter changes, each once."""
        return list(dict.fromkeys([*self.pairs, *map(module_of, self.saved)]))

    def turned(self, module: str) -> bool:
        """Tell whether a module's weight is stored as `[in, out]`, as embeddings always are."""
        # GPT-2's head is an ordinary linear layer among its `Conv1D`s.
        return module in self.embeddings or (self.turned_layers and module != HEAD)

    def _place(self, name: str, config: LoraConfig) -> tuple[dict[str, TensorEntry], str]:
        inner = name.removeprefix(_PREFIX)
        if inner == name:
            return self.unused, name
        for pattern in (_MATRIX, _EMBEDDING_MATRIX):
            match = pattern.fullmatch(inner)
            if match and _targeted(match["module"], config):
                if pattern is _EMBEDDING_MATRIX:
                    self.embeddings.add(match["module"])
                return self.pairs.setdefault(match["module"], {}), match["side"]
        if match := _BASE.fullmatch(inner):
            return self.base, f"{match['module']}.{match['parameter']}"
        if ".lora_" not in inner and (match := _WHOLE.fullmatch(inner)):
            whole = f"{match['module']}.{match['parameter']}"
            if config.saves(match["module"]):
                return self.saved, whole
            if is_tied_kind(match["module"]):
                # peft adds these by itself where it believes that the vocabulary was resized,
                # and where `ensure_weight_tying` saves the matrix that is tied to a saved one.
                return (self.saved if config.ensure_weight_tying else self.base), whole
        return self.unused, name


def module_of(tensor: str) -> str:
    """`model.norm.weight` -> `model.norm`."""
    return tensor.rpartition(".")[0]


def is_tied_kind(module: str) -> bool:
    """Tell whether the module is an embedding or the head, which may share a matrix."""
    return module.rpartition(".")[2] in (*EMBEDDINGS, HEAD)


def _targeted(module: str, config: LoraConfig) -> bool:
    # With `ensure_weight_tying` peft adapts the tied matrix, too, and does not write it down.
    tied = config.ensure_weight_tying and is_tied_kind(module)
    return tied or config.targets(module) is not False


def require_same_base(
    folder: Path, base: Path, found: AdapterTensors, stored: Iterable[str], config: LoraConfig
) -> None:
    """Raise `WeightsError` if the adapter changes a module that has no tensor in `stored`."""
    known = set(map(module_of, stored))
    foreign = [module for module in found.modules if module not in known]
    if foreign:
        raise WeightsError(
            f"adapter {folder} is of another base model: {len(foreign)} of the "
            f"{len(found.modules)} modules that it changes are not in {base}, such as "
            f"{foreign[0]}{_trained_on(config)}",
            # Multimodal models have other names in memory than in their files.
            f"{_OTHER_BASE}; if it is that one and only names differ, {MERGE_ELSEWHERE}",
        )


def _trained_on(config: LoraConfig) -> str:
    name = config.base_model_name_or_path
    return f"; its {CONFIG_FILE} names the base {name}" if name else ""


def account(
    folder: Path, found: AdapterTensors, tensors: Mapping[str, TensorSource], config: LoraConfig
) -> None:
    """Raise `WeightsError` if a tensor is left over, missing, or of another shape."""
    unused = [_line("unused", name, entry.shape) for name, entry in found.unused.items()]
    missing, other_shape = [], []
    for name, expected, entry in _wanted(found, tensors, config):
        if entry is None:
            missing.append(_line("missing", name, expected))
        elif expected is None:
            unused.append(_line("unused", entry.name, entry.shape))
        elif entry.shape != expected:
            line = _line("shape", entry.name, entry.shape)
            other_shape.append(f"{line}, expected {list(expected)}")
    if not found.modules and not unused and not missing:
        missing.append("  missing  every LoRA matrix")
    lines = [*other_shape, *missing, *unused]
    if not lines:
        return
    if len(lines) > _LISTED_LINES:
        lines = [*lines[:_LISTED_LINES], f"  ... {len(lines) - _LISTED_LINES} more"]
    hint = "biases, magnitudes and other extras are not merged; " + MERGE_ELSEWHERE
    if missing:
        hint = "the adapter is not complete; download it or save it again with peft"
    if other_shape:
        hint = _OTHER_BASE
    raise WeightsError(
        f"adapter {folder} does not fit its config and base: {len(unused)} of its tensors are "
        f"not used, {len(missing)} are missing, {len(other_shape)} have another shape"
        f"{_trained_on(config)}\n" + "\n".join(lines),
        hint,
    )


def _line(kind: str, name: str, shape: tuple[int, ...] | None) -> str:
    return f"  {kind:7}  {name}" + (f"  {list(shape)}" if shape is not None else "")


def _wanted(
    found: AdapterTensors, tensors: Mapping[str, TensorSource], config: LoraConfig
) -> Iterator[tuple[str, tuple[int, ...] | None, TensorEntry | None]]:
    """Yield every tensor that should be there or is: its name, its right shape, itself."""
    for module, pair in found.pairs.items():
        shape = tensors[f"{module}.weight"].shape if f"{module}.weight" in tensors else ()
        rank, infix = config.rank(module), "embedding_" * (module in found.embeddings)
        for side in "AB":
            expected: tuple[int, ...] | None = None  # LoRA is defined on matrices only
            if len(shape) == 2:
                inputs, outputs = shape if found.turned(module) else reversed(shape)
                expected = (rank, inputs) if side == "A" else (outputs, rank)
            yield f"{_PREFIX}{module}.lora_{infix}{side}", expected, pair.get(side)
    for name, entry in {**found.base, **found.saved}.items():
        yield name, tensors[name].shape if name in tensors else None, entry
    # What the config promises. The head of a tied model is a module without a stored tensor.
    for name in dict.fromkeys([*tensors, f"{HEAD}.weight"]):
        module, own = module_of(name), tensors[name].shape if name in tensors else None
        if config.saves(module) and name not in found.saved:
            yield _PREFIX + name, own, None
        is_matrix = name.endswith(".weight") and (own is None or len(own) == 2)
        # Experts are modules or one fused parameter, as the version of transformers has it.
        is_matrix = is_matrix and ".experts." not in name
        if is_matrix and config.targets(module) and module not in found.pairs:
            yield f"{_PREFIX}{module}.lora_A and lora_B", None, None
