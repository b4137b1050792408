"""What the model stores: types of weights, size, memory, and what the bundle says of itself."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from edgegen.bundle.doctor.findings import Remark, failed, passed, warned
from edgegen.bundle.doctor.graph import SignatureGraph
from edgegen.bundle.doctor.subject import Subject
from edgegen.bundle.reading import reading
from edgegen.contract import CACHE_PREFIXES, TASK_MODELS
from edgegen.provenance import hash_files, provenance_path

MIB = 1024**2
_INTEGERS = ("INT8", "INT4", "INT2", "UINT8", "UINT4")
_MATRIX_BYTES = 4096  # a smaller constant is no matrix that matters
_BACKENDS = ("cpu", "gpu", "npu", "gpu_artisan", "google_tensor_artisan")
_MAX_PROVENANCE_BYTES = 16 * MIB


def quantization(subject: Subject) -> Iterator[Remark]:
    """How weights are stored, and whether GPU delegates take them so."""
    stored = ", ".join(
        f"{w.dtype} {w.elements:,} in {w.nbytes / MIB:.1f} MiB" for w in subject.weights
    )
    faults = [fault for graph in subject.graphs.values() for fault in gpu_faults(graph)]
    say = failed if subject.promises_gpu else warned
    promised = (
        f", and the bundle says that it runs on {', '.join(subject.backends)}"
        if subject.promises_gpu
        else ""
    )
    for fault in dict.fromkeys(faults):
        yield say(
            f"{fault}{promised}",
            "build with --recipe dynamic_wi8_afp32 for the GPU"
            + (", or say backend cpu" if subject.promises_gpu else ", or keep to the CPU"),
        )
    if not faults:
        yield passed(stored or "no weights")


def gpu_faults(graph: SignatureGraph) -> Iterator[str]:
    """Yield what of the stored types GPU delegates do not run."""
    for operator in graph.operators:
        if operator.name == "EMBEDDING_LOOKUP" and len(operator.inputs) > 1:
            table = graph.tensors[operator.inputs[1]]
            if table.dtype == "FLOAT32" and table.size:
                yield (
                    "the embedding is FLOAT32, at which LiteRT-LM's GPU delegate aborts (SIGABRT, "
                    "`Unsupported external weights type`)"
                )
        if operator.name != "DEQUANTIZE" or not operator.inputs:
            continue
        stored = graph.tensors[operator.inputs[0]]
        if stored.size < _MATRIX_BYTES:
            continue
        if stored.dtype == "FLOAT16":
            yield "weights are FLOAT16, which LiteRT-LM's GPU delegate refuses"
        elif stored.dtype in _INTEGERS:
            yield (
                f"weights are {stored.dtype} with float arithmetic (weight-only), at which "
                "LiteRT-LM's GPU delegate crashes (SIGSEGV)"
            )


def memory(subject: Subject) -> Iterator[Remark]:
    """Size and an estimate of the memory: weights, one KV cache, the largest operator."""
    weights = sum(storage.nbytes for storage in subject.weights)
    caches = max((_cache_bytes(graph) for graph in subject.graphs.values()), default=0)
    activations = max((_activation_bytes(graph) for graph in subject.graphs.values()), default=0)
    size = subject.path.stat().st_size
    models = [m for m in subject.bundle.members if m.role in TASK_MODELS]
    more = f", {len(models) - 1} more models" if len(models) > 1 else ""
    total = weights + caches + activations
    yield passed(
        f"file {size / MIB:.1f} MiB{more}; memory about {total / MIB:.1f} MiB by estimate: weights "
        f"{weights / MIB:.1f}, KV cache {caches / MIB:.1f}, activations {activations / MIB:.1f}; "
        "an engine that rearranges weights takes as much again"
    )


def _cache_bytes(graph: SignatureGraph) -> int:
    entries = (graph.tensors[i] for n, i in graph.inputs.items() if n.startswith(CACHE_PREFIXES))
    return sum(entry.nbytes or 0 for entry in entries)


def _activation_bytes(graph: SignatureGraph) -> int:
    caches = {i for n, i in graph.inputs.items() if n.startswith(CACHE_PREFIXES)}
    caches |= {i for n, i in graph.outputs.items() if n.startswith(CACHE_PREFIXES)}
    return max(
        (
            sum(
                graph.tensors[i].nbytes or 0
                for i in {*operator.inputs, *operator.outputs}
                if i >= 0 and i not in caches and not graph.tensors[i].size
            )
            for operator in graph.operators
        ),
        default=0,
    )


def metadata(subject: Subject) -> Iterator[Remark]:
    """What the bundle, and the record beside it, say of themselves can be true."""
    hints, good = subject.bundle.hints, True
    version = hints.min_runtime_version
    if version is not None and not re.fullmatch(r"\d+(\.\d+){0,3}", version):
        good = False
        yield warned(
            f"the least runtime version is {version!r}, expected numbers such as 0.18.1",
            "correct it: edgegen bundle edit",
        )
    odd = sorted({b for names in hints.backend_constraints.values() for b in names} - {*_BACKENDS})
    if odd:
        good = False
        yield warned(
            f"it is meant for unknown backends: {', '.join(odd)}",
            f"known are {', '.join(_BACKENDS)}",
        )
    record = _record(subject)
    if isinstance(record, Remark):
        yield record
        return
    said = "there is no record of its making beside it"
    if record is not None:
        said = f"made with recipe {record.get('recipe')}"
        wanted = record.get("bundle_sha256")
        if wanted is not None and subject.settings.deep:
            found = hash_files([subject.path], "hash bundle")[subject.path.name]
            if found != wanted:
                yield failed(
                    f"its SHA-256 is {found}, the record beside it says {wanted}",
                    "the bundle was changed, or the record is of another one",
                )
                return
            said += ", and the bytes are those of the record"
    if good:
        yield passed(said)


def _record(subject: Subject) -> dict[str, object] | Remark | None:
    path = provenance_path(subject.path)
    with reading(path):
        if not path.is_file():
            return None
        size = path.stat().st_size
        if size > _MAX_PROVENANCE_BYTES:
            return warned(f"{path.name} has {size} bytes, expected at most {_MAX_PROVENANCE_BYTES}")
        encoded = path.read_bytes()
    try:
        content = json.loads(encoded)
    except (ValueError, RecursionError) as error:
        return warned(f"{path.name} is not valid JSON: {error}", f"remove {path.name}")
    if not isinstance(content, dict):
        return warned(f"{path.name} holds no JSON object", f"remove {path.name}")
    return content
