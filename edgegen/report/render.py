"""Inspections as text for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict

from edgegen.bundle.flatbuffer import Signature, TensorInfo
from edgegen.bundle.inspect import Inspection
from edgegen.report.tables import (
    PLAIN_WIDTH,
    Part,
    mib,
    printable,
    table,
    to_text,
)

_LONGEST = 80


def render_inspection(inspection: Inspection, *, terminal: bool, width: int = PLAIN_WIDTH) -> str:
    """Return what a file holds as a few tables.

    Args:
        inspection: What to show.
        terminal: Whether the reader is a terminal.
        width: Columns to use at most.
    """
    parts: list[Part] = [
        f"{inspection.path} ({inspection.format}, {mib(inspection.file_bytes)})",
        *([f"sha256 {inspection.sha256}"] if inspection.sha256 else []),
        "",
    ]
    if inspection.members:
        rows = [(m.name, mib(m.size), str(m.offset)) for m in inspection.members]
        parts += [table(("member", ">size", ">offset"), rows, terminal=terminal), ""]
    if inspection.parameters:
        settings = _settings(inspection)
        parts += [table(("parameter", "value"), settings, terminal=terminal), ""]
    weights = [
        (w.dtype, str(w.tensors), f"{w.elements:,}", mib(w.nbytes)) for w in inspection.weights
    ]
    columns = ("weights", ">tensors", ">elements", ">size")
    parts += [table(columns, weights, terminal=terminal), ""]
    for signature in inspection.signatures:
        parts += [*_signature(signature, terminal), ""]
    parts += [*_summary(inspection)]
    return to_text(parts, terminal=terminal, width=width)


def _settings(inspection: Inspection) -> list[tuple[str, str]]:
    """Return what is said of generation, each with where it is from."""
    assert inspection.parameters is not None
    values = asdict(inspection.parameters)
    sources = values.pop("sources")
    values |= {f"sampler.{name}": value for name, value in values.pop("sampler").items()}
    if inspection.hints is not None:
        values |= asdict(inspection.hints)
        values |= {"runtime_template": inspection.runtime_template, **inspection.header}
    rows = []
    for name, value in values.items():
        if value or (value == 0 and value is not False):
            text = printable(repr(value))
            shown = text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
            rows.append((name, shown + (f"  ({sources[name]})" if name in sources else "")))
    return rows


def _signature(signature: Signature, terminal: bool) -> Iterator[Part]:
    rows = [
        (kind, name, tensor.dtype, " ".join(map(str, tensor.shape)))
        for kind, tensors in (("in", signature.inputs), ("out", signature.outputs))
        for name, tensor in _layers_as_one(tensors)
    ]
    yield table((signature.name, "tensor", "dtype", "shape"), rows, terminal=terminal)
    yield ", ".join(f"{name} {count}" for name, count in signature.operations.items())


def _layers_as_one(tensors: Mapping[str, TensorInfo]) -> Iterator[tuple[str, TensorInfo]]:
    """Yield tensors; those that differ in their layer number only are one, `name_{0..29}`."""
    groups: dict[tuple[str, TensorInfo], list[str]] = {}
    for name, tensor in tensors.items():
        stem, _, layer = name.rpartition("_")
        key = (stem, tensor) if layer.isdecimal() else (name, tensor)
        groups.setdefault(key, []).append(layer if layer.isdecimal() else "")
    for (stem, tensor), layers in groups.items():
        if layers == [""]:
            yield stem, tensor
        elif len(layers) == 1:
            yield f"{stem}_{layers[0]}", tensor
        else:
            yield f"{stem}_{{{min(layers, key=int)}..{max(layers, key=int)}}}", tensor


def _summary(inspection: Inspection) -> Iterator[str]:
    prefill = ", ".join(map(str, inspection.prefill_lens)) or "none"
    yield (
        f"prefill {prefill}; kv_cache_len {inspection.kv_cache_len}; "
        f"{inspection.num_hidden_layers} layers; vocab_size {inspection.vocab_size}; "
        f"{inspection.stored_parameters:,} stored parameters"
    )
    if inspection.provenance is not None:
        yield "provenance: " + ", ".join(sorted(inspection.provenance))
