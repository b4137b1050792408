"""What differs between two bundles, or two bare models."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgegen.bundle.contents import Member
from edgegen.bundle.flatbuffer import read_tensors
from edgegen.bundle.inspect import Inspection, inspect_bundle
from edgegen.bundle.side_section import SIDE_SECTION_MEMBER
from edgegen.contract import TASK_METADATA, TASK_MODEL
from edgegen.provenance import hash_span

# What differs between any two builds and says nothing.
_PASSING = ("stages", "bundle_sha256", "check")


@dataclass(frozen=True)
class Difference:
    """One thing that the two files do not have in common.

    Attributes:
        part: `file`, `member`, `parameter`, `hint`, `signature`, `tensor` or `provenance`.
        name: Which one.
        first: What the first file has; `None` for nothing.
        second: What the second has.
    """

    part: str
    name: str
    first: Any
    second: Any


@dataclass(frozen=True)
class BundleDiff:
    """Two files compared.

    Attributes:
        first: One file.
        second: The other.
        same_bytes: Whether they are equal byte for byte.
        differences: What differs, coarse things first.
    """

    first: Path
    second: Path
    same_bytes: bool
    differences: tuple[Difference, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return everything as values that JSON knows."""
        return {**asdict(self), "first": str(self.first), "second": str(self.second)}


def diff_bundles(first: str | Path, second: str | Path) -> BundleDiff:
    """Compare two `.task`, `.litertlm` or `.tflite` files of any formats.

    All bytes are read, through small buffers; reports the stages `hash bundle` and `hash members`.

    Raises:
        BundleError: a file cannot be read, or is damaged.
    """
    one, two = inspect_bundle(first), inspect_bundle(second)
    same = one.sha256 == two.sha256
    found = () if same else tuple(_differences(one, two))
    return BundleDiff(Path(first), Path(second), same, found)


def _differences(one: Inspection, two: Inspection) -> Iterator[Difference]:
    yield from _compare("file", _overview(one), _overview(two))
    yield from _compare("member", _members(one), _members(two))
    told = [*_compare("parameter", _settings(one), _settings(two))]
    told += _compare("hint", _hints(one), _hints(two))
    yield from told
    if not told and one.format == two.format:
        # Fields that have no name here.
        yield from _compare("member", _hashes(one, TASK_METADATA), _hashes(two, TASK_METADATA))
    model = [*_compare("signature", _signatures(one), _signatures(two))]
    model += _compare("tensor", _tensors(one), _tensors(two))
    yield from model
    if not model:
        # Operators in another order, or with other options or wires.
        yield from _compare("member", _model_hash(one), _model_hash(two))
    if one.provenance is None or two.provenance is None:
        there = [None if file.provenance is None else "present" for file in (one, two)]
        yield from _compare("provenance", {"record": there[0]}, {"record": there[1]})
    else:
        yield from _compare("provenance", _provenance(one), _provenance(two))


def _compare(part: str, one: Mapping[str, Any], two: Mapping[str, Any]) -> Iterator[Difference]:
    for name in dict.fromkeys([*one, *two]):
        first, second = one.get(name), two.get(name)
        if first != second:
            yield Difference(part, name, first, second)


def _overview(file: Inspection) -> dict[str, Any]:
    return {
        "format": file.format,
        "bytes": file.file_bytes,
        "prefill_lens": file.prefill_lens,
        "kv_cache_len": file.kv_cache_len,
        "num_hidden_layers": file.num_hidden_layers,
        "vocab_size": file.vocab_size,
    }


def _members(file: Inspection) -> dict[str, Any]:
    # The main model is told tensor by tensor, and metadata field by field.
    names = Counter[str]()
    return {
        _numbered(member.role or member.name, names): {
            "bytes": member.size,
            "sha256": _hash(file.path, member),
        }
        for member in file.members
        if member.role not in (TASK_MODEL, TASK_METADATA, SIDE_SECTION_MEMBER)
    }


def _hashes(file: Inspection, role: str) -> dict[str, Any]:
    found = (member for member in file.members if member.role == role)
    return {member.role or "": _hash(file.path, member) for member in found}


def _model_hash(file: Inspection) -> dict[str, Any]:
    return {TASK_MODEL: hash_span(file.path, *file.model_span, "hash members")}


def _hash(path: Path, member: Member) -> str:
    return hash_span(path, member.offset, member.size, "hash members")


def _settings(file: Inspection) -> dict[str, Any]:
    if file.parameters is None:
        return {}
    values = asdict(file.parameters)
    return {name: value for name, value in values.items() if name != "sources"}


def _hints(file: Inspection) -> dict[str, Any]:
    told = {} if file.hints is None else asdict(file.hints)
    return told | {"runtime_template": file.runtime_template, **file.header}


def _signatures(file: Inspection) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for signature in file.signatures:
        found[signature.name] = "present"
        for way, tensors in (("in", signature.inputs), ("out", signature.outputs)):
            for name, tensor in tensors.items():
                found[f"{signature.name} {way} {name}"] = asdict(tensor)
        for operation, count in signature.operations.items():
            found[f"{signature.name} {operation}"] = count
    return found


def _tensors(file: Inspection) -> dict[str, Any]:
    names = Counter[str]()
    return {
        _numbered(tensor.name, names): {
            "dtype": tensor.dtype,
            "shape": tensor.shape,
            "quantization": tensor.quantization,
            "sha256": tensor.sha256,
        }
        for tensor in read_tensors(file.path, file.model_span)
    }


def _numbered(name: str, taken: Counter[str]) -> str:
    """Return a name of its own: those of constants are not unique."""
    taken[name] += 1
    return name if taken[name] == 1 else f"{name} ({taken[name]})"


def _provenance(file: Inspection) -> dict[str, Any]:
    record = file.provenance or {}
    return {name: value for name, value in record.items() if name not in _PASSING}
