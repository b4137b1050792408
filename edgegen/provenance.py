"""What a bundle was made from and with, written beside it as JSON."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from edgegen import __version__
from edgegen.files import atomic_output
from edgegen.progress import stage

SCHEMA = "edgegen.provenance/1"
SUFFIX = ".provenance.json"

# The packages whose versions decide what comes out.
_TOOLS = (
    "ai-edge-litert",
    "ai-edge-quantizer",
    "litert-converter",
    "litert-lm-api",
    "litert-torch",
    "mediapipe",
    "sentencepiece",
    "torch",
)
_CHUNK_BYTES = 1 << 20


def provenance_path(bundle: Path) -> Path:
    """Return where the provenance of a bundle lies."""
    return bundle.with_name(bundle.name + SUFFIX)


def hash_files(paths: Iterable[Path], title: str) -> dict[str, str]:
    """Return the SHA-256 of each file by its name, with progress under `title`."""
    files = list(paths)
    total = sum(path.stat().st_size for path in files)
    hashes = {}
    with stage(title, total, "B") as advance:
        for path in files:
            digest = hashlib.sha256()
            with path.open("rb") as file:
                while chunk := file.read(_CHUNK_BYTES):
                    digest.update(chunk)
                    advance(len(chunk))
            hashes[path.name] = digest.hexdigest()
    return hashes


def hash_span(path: Path, offset: int, size: int, title: str) -> str:
    """Return the SHA-256 of `size` bytes of a file from `offset` on, with progress."""
    digest, left = hashlib.sha256(), size
    with stage(title, size, "B") as advance, path.open("rb") as file:
        file.seek(offset)
        while left and (chunk := file.read(min(left, _CHUNK_BYTES))):
            digest.update(chunk)
            left -= len(chunk)
            advance(len(chunk))
    return digest.hexdigest()


def tool_versions() -> dict[str, str]:
    """Return the installed version of every package that shapes a bundle."""
    versions = {"edgegen": __version__, "python": platform.python_version()}
    for name in _TOOLS:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def write_provenance(path: Path, record: Mapping[str, Any]) -> None:
    """Write `record` to `path`, with schema and tool versions added."""
    content = {"schema": SCHEMA, "tools": tool_versions(), **record}
    with atomic_output(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
