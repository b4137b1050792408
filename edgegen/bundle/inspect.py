"""What is inside a bundle or a bare `.tflite`, read without loading any weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgegen.bundle.contents import Foreign, Member, RuntimeHints
from edgegen.bundle.dimensions import dimensions_of
from edgegen.bundle.flatbuffer import Signature, WeightStorage, read_model
from edgegen.bundle.formats import TFLITE_IDENTIFIER, open_bundle
from edgegen.bundle.generation import GenerationParameters
from edgegen.bundle.llm_metadata import template_of
from edgegen.bundle.reading import reading
from edgegen.errors import BundleError
from edgegen.provenance import hash_files, provenance_path

MAX_PROVENANCE_BYTES = 16 * 1024**2
_PASSING = ("uuid", "writer", "creation_timestamp")
_OURS = ("model_type", "backend_constraint", "name")


@dataclass(frozen=True)
class Inspection:
    """What a bundle or a `.tflite` holds.

    Attributes:
        path: The file.
        format: `task`, `litertlm` or `tflite`.
        file_bytes: Its size.
        sha256: Its hash, `None` if not asked for.
        members: What the bundle holds; empty for a bare model.
        parameters: Generation parameters; `None` for a bare model.
        hints: What a `.litertlm` says to its runtime; `None` for other files.
        header: What the header of a `.litertlm` says besides, of the file and its sections.
        runtime_template: The chat template in LiteRT-LM's own dialect, which a `.litertlm` carries.
        model_span: Offset and size of the model, in bytes.
        signatures: Entry points of the model with inputs, outputs and operations.
        prefill_lens: Prompt lengths that have a signature, ascending.
        kv_cache_len: Tokens that prompt and answer may have together; `None` if the model has
            no KV cache.
        num_hidden_layers: Layers that have a KV cache.
        vocab_size: Logits per token; `None` without a decode signature.
        weights: Stored weights by type, largest first.
        stored_parameters: Weight elements in the file. A matrix stored twice counts twice.
        provenance: Content of `<file>.provenance.json` beside the file, if it is there.
    """

    path: Path
    format: str
    file_bytes: int
    sha256: str | None
    members: tuple[Member, ...]
    parameters: GenerationParameters | None
    hints: RuntimeHints | None
    header: Mapping[str, Any]
    runtime_template: str | None
    model_span: tuple[int, int]
    signatures: tuple[Signature, ...]
    prefill_lens: tuple[int, ...]
    kv_cache_len: int | None
    num_hidden_layers: int
    vocab_size: int | None
    weights: tuple[WeightStorage, ...]
    stored_parameters: int
    provenance: Mapping[str, Any] | None

    def as_dict(self) -> dict[str, Any]:
        """Return everything as values that JSON knows."""
        return {**asdict(self), "path": str(self.path)}


def inspect_bundle(path: str | Path, *, sha256: bool = True) -> Inspection:
    """Inspect a `.task`, a `.litertlm` or a bare `.tflite`.

    The model is mapped, not read: this takes little memory whatever its size. Hashing reads
    the whole file once and reports the stage `hash bundle` in bytes.

    Args:
        path: The file.
        sha256: Whether to hash it.

    Raises:
        BundleError: the file does not exist, cannot be read, is of another format, or is
            damaged; or its provenance is.
    """
    source = Path(path)
    members: tuple[Member, ...] = ()
    parameters = hints = template = None
    header: dict[str, Any] = {}
    form = "tflite"
    if _is_tflite(source):
        span = (0, source.stat().st_size)
    else:
        bundle = open_bundle(source)
        members, parameters, span = bundle.members, bundle.parameters, bundle.model_span
        form = bundle.format
        if form == "litertlm" and bundle.foreign is not None:
            hints, header = bundle.hints, _header(bundle.foreign)
            template = template_of(bundle.foreign.metadata)
    signatures, weights = read_model(source, span)
    dimensions = dimensions_of(signatures)
    with reading(source):
        digest = hash_files([source], "hash bundle")[source.name] if sha256 else None
    return Inspection(
        path=source,
        format=form,
        file_bytes=source.stat().st_size,
        sha256=digest,
        members=members,
        parameters=parameters,
        hints=hints,
        header=header,
        runtime_template=template,
        model_span=span,
        signatures=signatures,
        prefill_lens=dimensions.prefill_lens,
        kv_cache_len=dimensions.kv_cache_len,
        num_hidden_layers=dimensions.num_hidden_layers,
        vocab_size=dimensions.vocab_size,
        weights=weights,
        stored_parameters=sum(storage.elements for storage in weights),
        provenance=read_provenance(source),
    )


def _header(foreign: Foreign) -> dict[str, Any]:
    """Return the items that say more than edgegen's own."""
    told = {key: item.value for key, item in foreign.system.items() if key not in _PASSING}
    for role, items in foreign.items.items():
        told |= {f"{role} {key}": item.value for key, item in items.items() if key not in _OURS}
    return told


def _is_tflite(path: Path) -> bool:
    with reading(path):
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(8)[4:] == TFLITE_IDENTIFIER


def read_provenance(path: Path) -> dict[str, Any] | None:
    """Return the provenance beside a file, `None` if there is none.

    Raises:
        BundleError: it is too large, or no JSON object.
    """
    sidecar = provenance_path(path)
    hint = f"remove {sidecar.name}, or build the bundle again"
    with reading(sidecar):
        if not sidecar.is_file():
            return None
        size = sidecar.stat().st_size
        if size > MAX_PROVENANCE_BYTES:
            raise BundleError(
                f"{sidecar} has {size} bytes, expected at most {MAX_PROVENANCE_BYTES}", hint
            )
        encoded = sidecar.read_bytes()
    try:
        content = json.loads(encoded)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{sidecar} is not valid JSON: {error}", hint) from error
    if not isinstance(content, dict):
        raise BundleError(
            f"{sidecar} holds a {type(content).__name__}, expected a JSON object", hint
        )
    return content
