"""Names of devices, cells and sizes as reports write them; all of it may come from anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgegen.device.bench.record import Record
from edgegen.report.tables import MIB, number, printable

LONGEST_NAME = 120
LONGEST_EXCERPT = 4000
_KIB, _GIB = 1024, 1024**3
_SOFTWARE = ("swiftshader", "llvmpipe", "software", "lavapipe")


def short(text: object, longest: int = LONGEST_NAME) -> str:
    """Return a text on one line, without control characters and no longer than that."""
    line = printable(" ".join(str(text).split()))
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


def excerpt(text: str) -> str:
    """Return the lines of a log, without control characters, bounded."""
    told = printable(text.strip())
    return told if len(told) <= LONGEST_EXCERPT else f"{told[:LONGEST_EXCERPT]}\n…"


def device_name(device: Mapping[str, Any]) -> str:
    """Return what to call a device: maker and model, else its serial number."""
    maker, model = (_text(device, name) for name in ("manufacturer", "model"))
    if model:
        return short(model if not maker or model.startswith(maker) else f"{maker} {model}", 60)
    return short(_text(device, "name") or _text(device, "serial") or "unknown device", 60)


def device_identity(device: Mapping[str, Any]) -> tuple[str, str]:
    """Return what tells one device from another."""
    return _text(device, "serial"), device_name(device)


def device_facts(device: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what there is to say of a device, label and value; what is not known is left out."""
    ram = device.get("ram_total_bytes")
    facts = {
        "device": device_name(device),
        "serial": _text(device, "serial"),
        "over": _text(device, "transport"),
        "system on chip": _text(device, "soc"),
        "platform": _text(device, "platform"),
        "CPUs": _clusters(device),
        "GPU": _text(device, "gpu"),
        "memory": size(ram) if isinstance(ram, int) else "",
        "system": _text(device, "system"),
        "build": _text(device, "build_fingerprint"),
        "kernel": _text(device, "kernel"),
    }
    return [(label, short(value)) for label, value in facts.items() if value]


def _clusters(device: Mapping[str, Any]) -> str:
    told = []
    clusters = device.get("clusters")
    for cluster in clusters[:16] if isinstance(clusters, list | tuple) else ():
        if isinstance(cluster, dict) and isinstance(cluster.get("cpus"), list | tuple):
            khz = cluster.get("max_khz")
            clock = f" at {khz / 1e6:.2f} GHz" if isinstance(khz, int) else ""
            told.append(f"{len(cluster['cpus'])}{clock}")
    return " + ".join(told)


def _text(device: Mapping[str, Any], name: str) -> str:
    value = device.get(name)
    return value.strip() if isinstance(value, str) else ""


def size(nbytes: float) -> str:
    """Return bytes in the unit that fits."""
    for unit, name in ((_GIB, "GiB"), (MIB, "MiB"), (_KIB, "KiB")):
        if nbytes >= unit:
            return f"{number(nbytes / unit)} {name}"
    return f"{nbytes:.0f} B"


def rate_of_bytes(bytes_per_s: float) -> str:
    """Return a memory rate."""
    return f"{number(bytes_per_s / 1e9)} GB/s"


def settings(record: Record) -> str:
    """Return how a cell was run: delegate, threads and the like."""
    parts = [record.delegate.upper()]
    if record.threads:
        parts.append(f"{record.threads} thread" + "s" * (record.threads > 1))
    if record.activations:
        parts.append(f"{short(record.activations, 20)} activations")
    if record.cpu_mask:
        parts.append(f"CPUs {record.cpu_mask:#x}")
    return ", ".join(parts)


def engine_name(record: Record) -> str:
    """Return the engine with its version, and the GPU if there is one."""
    engine = record.engine
    name = short(f"{engine.name} {engine.version or ''}".strip(), 60)
    return f"{name} on {short(engine.gpu_adapter, 60)}" if engine.gpu_adapter else name


def emulated(record: Record) -> bool:
    """Tell whether the GPU is computed by a CPU."""
    adapter = (record.engine.gpu_adapter or "").lower()
    return any(word in adapter for word in _SOFTWARE)
