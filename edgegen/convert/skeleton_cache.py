"""Keeping traced graphs, so that a model of a shape that was traced before need not be again.

An entry is a zip archive with a `.tflite` for each signature. Its name is a digest of all that
decides its content: the shape, the signatures, the values that are in the graph, the converter's
version and this package's own code. So an entry never goes stale; unused ones make room.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from importlib import metadata
from pathlib import Path

import edgegen
from edgegen.author import AuthoredModel
from edgegen.convert.reduction import Reduction
from edgegen.convert.spec import ExportSpec
from edgegen.convert.trace import is_streamed
from edgegen.errors import OutputError
from edgegen.files import atomic_output

FOLDER_VARIABLE = "EDGEGEN_CACHE_DIR"
# Of less than a megabyte each.
MAX_ENTRIES = 64
# An archive that says it is larger is not one of ours.
_MOST_BYTES = 1 << 28
_PACKAGES = ("litert-torch", "litert-converter", "torch", "jax")
_SUFFIX = ".skeleton"
_LOGGER = logging.getLogger("edgegen.convert")


def cache_folder() -> Path | None:
    """Return where skeletons are kept: `$EDGEGEN_CACHE_DIR`, where set and not empty, or the
    user's folder for such things. `None` where the variable is empty: nothing is kept.
    """
    chosen = os.environ.get(FOLDER_VARIABLE)
    if chosen == "":
        return None
    if chosen is not None:
        return Path(chosen)
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "edgegen" / "skeletons"


def skeleton_key(model: AuthoredModel, spec: ExportSpec, reduction: Reduction | None) -> str:
    """Return the digest of what decides a skeleton.

    With a reduction the graph holds stand-ins, otherwise the vectors of the checkpoint.
    """
    digest = hashlib.sha256()
    shapes = {name: source.shape for name, source in sorted(model.sources.items())}
    facts = {
        "config": {k: v for k, v in model.checkpoint.config.items() if not k.startswith("_")},
        "shapes": shapes,
        "spec": vars(spec),
        "reduction": None if reduction is None else vars(reduction),
        "packages": [metadata.version(name) for name in _PACKAGES],
        "code": _code_digest(),
    }
    digest.update(json.dumps(facts, sort_keys=True).encode())
    if reduction is None:
        for name in shapes:
            if not is_streamed(model.sources[name].shape):
                digest.update(model.sources[name].read().tobytes())
    return digest.hexdigest()


def load_skeleton(key: str) -> dict[str, bytes] | None:
    """Return the graph of each signature, `None` where none is kept or it is damaged."""
    folder = cache_folder()
    path = folder and folder / f"{key}{_SUFFIX}"
    if path is None or not path.is_file():
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > _MOST_BYTES:
                raise zipfile.BadZipFile("too large")
            parts = {name: archive.read(name) for name in archive.namelist()}
        path.touch()
    except (OSError, zipfile.BadZipFile) as error:
        _LOGGER.info("%s cannot be read and is made anew: %s", path, error)
        return None
    return parts


def keep_skeleton(key: str, parts: Mapping[str, bytes]) -> None:
    """Keep the graph of each signature; where that is impossible, say so in the log."""
    folder = cache_folder()
    if folder is None:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (
            atomic_output(folder / f"{key}{_SUFFIX}", force=True) as temporary,
            zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive,
        ):
            for name, part in parts.items():
                archive.writestr(name, part)
        _make_room(folder)
    except (OSError, OutputError) as error:
        _LOGGER.info("the traced graph is not kept: %s", error)


def _make_room(folder: Path) -> None:
    entries = []
    for path in folder.glob(f"*{_SUFFIX}"):
        with suppress(FileNotFoundError):  # another conversion makes room, too
            entries.append((path.stat().st_mtime_ns, path))
    for _, path in sorted(entries)[:-MAX_ENTRIES]:
        path.unlink(missing_ok=True)


@cache
def _code_digest() -> str:
    """Return a digest of the code that authors and traces models."""
    package = Path(edgegen.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(p for part in ("author", "convert") for p in (package / part).rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
