"""What is inside a bundle or a bare `.tflite`, read without loading any weights."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgegen.bundle.flatbuffer import Signature, WeightStorage, read_model
from edgegen.bundle.generation import GenerationParameters
from edgegen.bundle.task import TFLITE_IDENTIFIER, open_bundle
from edgegen.bundle.zip_members import Member
from edgegen.contract import DECODE, KV_CACHE_K_PREFIX, LOGITS, kv_cache_k, prefill_length
from edgegen.errors import BundleError
from edgegen.progress import stage

MAX_PROVENANCE_BYTES = 16 * 1024**2
_HASH_BYTES = 4 * 1024**2


@dataclass(frozen=True)
class Inspection:
    """What a bundle or a `.tflite` holds.

    Attributes:
        path: The file.
        format: `task` or `tflite`.
        file_bytes: Its size.
        sha256: Its hash, `None` if not asked for.
        members: What the bundle holds; empty for a bare model.
        parameters: Generation parameters; `None` for a bare model.
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
    """Inspect a `.task` bundle or a bare `.tflite`.

    The model is mapped, not read: this takes little memory whatever its size. Hashing reads
    the whole file once and reports the stage `hash` in bytes.

    Args:
        path: The file.
        sha256: Whether to hash it.

    Raises:
        BundleError: the file does not exist, is of another format, or is damaged.
    """
    source = Path(path)
    members: tuple[Member, ...] = ()
    parameters = None
    if _is_tflite(source):
        span = (0, source.stat().st_size)
    else:
        bundle = open_bundle(source)
        members, parameters, span = bundle.members, bundle.parameters, bundle.model_span
    signatures, weights = read_model(source, span)
    return Inspection(
        path=source,
        format="task" if members else "tflite",
        file_bytes=source.stat().st_size,
        sha256=_sha256(source) if sha256 else None,
        members=members,
        parameters=parameters,
        signatures=signatures,
        **_dimensions(signatures),
        weights=weights,
        stored_parameters=sum(storage.elements for storage in weights),
        provenance=_provenance(source),
    )


def _dimensions(signatures: tuple[Signature, ...]) -> dict[str, Any]:
    """Read the model's dimensions off its signatures."""
    lengths = (prefill_length(signature.name) for signature in signatures)
    decode = next((signature for signature in signatures if signature.name == DECODE), None)
    caches = decode.inputs if decode else {}
    shape = caches[kv_cache_k(0)].shape if kv_cache_k(0) in caches else ()
    logits = decode.outputs.get(LOGITS) if decode else None
    return {
        "prefill_lens": tuple(sorted(length for length in lengths if length)),
        # K is [B, K, S, H].
        "kv_cache_len": shape[2] if len(shape) == 4 else None,
        "num_hidden_layers": sum(name.startswith(KV_CACHE_K_PREFIX) for name in caches),
        "vocab_size": logits.shape[-1] if logits and logits.shape else None,
    }


def _is_tflite(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(8)[4:] == TFLITE_IDENTIFIER


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with stage("hash", path.stat().st_size, "B") as advance, path.open("rb") as file:
        while chunk := file.read(_HASH_BYTES):
            digest.update(chunk)
            advance(len(chunk))
    return digest.hexdigest()


def _provenance(path: Path) -> dict[str, Any] | None:
    sidecar = path.with_name(path.name + ".provenance.json")
    if not sidecar.is_file():
        return None
    hint = f"remove {sidecar.name}, or build the bundle again"
    if sidecar.stat().st_size > MAX_PROVENANCE_BYTES:
        raise BundleError(
            f"{sidecar} has {sidecar.stat().st_size} bytes, expected at most "
            f"{MAX_PROVENANCE_BYTES}",
            hint,
        )
    try:
        content = json.loads(sidecar.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{sidecar} is not valid JSON: {error}", hint) from error
    if not isinstance(content, dict):
        raise BundleError(
            f"{sidecar} holds a {type(content).__name__}, expected a JSON object", hint
        )
    return content
