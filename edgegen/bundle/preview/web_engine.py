"""The files of MediaPipe's web engine: where they are, and fetching them once with npm.

They are another project's 27 MB of WebAssembly, so they are not shipped. npm knows which
registry to ask and how; which bytes are the right ones is decided here.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from edgegen.errors import EngineError, OutputError
from edgegen.files import disk_errors

PACKAGE = "@mediapipe/tasks-genai"
VERSION = "0.10.29"
# Of the package's archive, as npm writes it into a package-lock.json.
INTEGRITY = (
    "sha512-PRznwHOprGNoSbTbtAyHkMD1rslPLEBSidvz/Ga7qWVr"
    "86CXmPEcQpFCidLciBpWNKF8VhQMU2YA51YyBCbPKg=="
)
# What the page asks for: the engine, and the build of its WebAssembly that module workers load.
FILES = (
    "genai_bundle.mjs",
    "wasm/genai_wasm_module_internal.js",
    "wasm/genai_wasm_module_internal.wasm",
)
_MANIFEST = "package.json"
_IN_ARCHIVE = "package/"  # where npm puts everything
_MOST_BYTES = 256 * 1024**2
_MOST_MANIFEST_BYTES = 1024**2
_FETCH = "get it: edgegen preview --fetch"


@dataclass(frozen=True)
class WebEngine:
    """MediaPipe's web engine, unpacked.

    Attributes:
        folder: Where `package.json` and `FILES` lie.
        version: What `package.json` says.
    """

    folder: Path
    version: str


def open_web_engine(folder: str | Path) -> WebEngine:
    """Look at an unpacked npm package.

    Raises:
        EngineError: it is not there, not MediaPipe's engine, or not whole.
    """
    source = Path(folder)
    manifest = source / _MANIFEST
    if not manifest.is_file():
        raise EngineError(f"no web engine in {source}: there is no {_MANIFEST}", _FETCH)
    try:
        if manifest.stat().st_size > _MOST_MANIFEST_BYTES:
            raise ValueError("it is too large")
        content = json.loads(manifest.read_bytes())
        name, version = content["name"], content["version"]
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        raise EngineError(f"{manifest} is not a package's manifest: {error}", _FETCH) from error
    if name != PACKAGE or not isinstance(version, str):
        raise EngineError(f"{source} holds the package {name!r}, expected {PACKAGE}", _FETCH)
    # A machine that went down while they were written leaves empty ones.
    missing = [name for name in FILES if not _has_content(source / name)]
    if missing:
        raise EngineError(f"the web engine in {source} lacks {', '.join(missing)}", _FETCH)
    return WebEngine(source.resolve(), version)


def cached_folder(cache: Path) -> Path:
    """Return where, inside a folder for such things, the engine of this version is kept."""
    return cache / f"web-engine-{VERSION}"


def fetch_web_engine(cache: Path, *, npm: str = "npm", timeout_s: float = 600) -> WebEngine:
    """Fetch the engine with npm, unless it is there already; one that is damaged is replaced.

    npm asks the registry that it is configured for. Nothing of the package is run, and only
    bytes of the pinned hash are unpacked. The folder appears when it is complete.

    Args:
        cache: Folder to keep it in.
        npm: The program.
        timeout_s: Limit for the download.

    Raises:
        EngineError: there is no npm, it failed, or what came is another package.
        OutputError: the disk refused.
    """
    target = cached_folder(cache)
    with contextlib.suppress(EngineError):
        return open_web_engine(target)
    with disk_errors(cache):
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".web-engine-", dir=cache) as temporary:
            archive = _pack(npm, Path(temporary), timeout_s)
            unpacked = Path(temporary) / "unpacked"
            with archive.open("rb") as file:
                _check(file)
                _unpack(file, unpacked)
            open_web_engine(unpacked)
            _remove_damaged(target, Path(temporary) / "damaged")
            _publish(unpacked, target)
    return open_web_engine(target)


def _pack(npm: str, folder: Path, timeout_s: float) -> Path:
    """Have npm download the package's archive into `folder`."""
    program = shutil.which(npm)
    if program is None:
        raise EngineError(
            f"no {npm} on PATH, which fetches {PACKAGE}",
            "install Node.js with npm, or unpack the package yourself and pass --engine-dir",
        )
    command = [program, "pack", f"{PACKAGE}@{VERSION}", "--ignore-scripts", "--silent"]
    command += ["--pack-destination", str(folder)]
    # In that folder: a package.json or .npmrc where the user stands must not matter.
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
        )
    except subprocess.TimeoutExpired as error:
        raise EngineError(
            f"npm did not fetch {PACKAGE}@{VERSION} within {timeout_s:g} s",
            "check the network, then try again",
        ) from error
    archives = list(folder.glob("*.tgz"))
    if done.returncode != 0 or len(archives) != 1:
        said = done.stderr.strip() or done.stdout.strip() or "it says nothing"
        raise EngineError(
            f"npm did not fetch {PACKAGE}@{VERSION} (exit status {done.returncode}): {said[-600:]}",
            "check npm's registry and the network, or unpack the package yourself and pass "
            "--engine-dir",
        )
    return archives[0]


def _check(file: IO[bytes]) -> None:
    """Raise unless the archive is the pinned one."""
    digest = hashlib.sha512()
    while chunk := file.read(1024**2):
        digest.update(chunk)
    found = f"sha512-{base64.b64encode(digest.digest()).decode()}"
    if found != INTEGRITY:
        raise EngineError(
            f"npm fetched another {PACKAGE}@{VERSION}: {found}, expected {INTEGRITY}",
            "ask whoever runs the registry that npm is configured for",
        )
    file.seek(0)


def _unpack(file: IO[bytes], folder: Path) -> None:
    """Write out the few members that are needed, under names of ours."""
    wanted = {f"{_IN_ARCHIVE}{name}": folder / name for name in (_MANIFEST, *FILES)}
    with tarfile.open(fileobj=file, mode="r:gz") as archive:
        for member in archive:
            path = wanted.get(member.name)
            if path is None or not member.isfile():
                continue
            if member.size > _MOST_BYTES:
                raise EngineError(
                    f"{member.name} has {member.size} bytes, expected at most {_MOST_BYTES}"
                )
            source = archive.extractfile(member)
            assert source is not None  # it is a file
            path.parent.mkdir(parents=True, exist_ok=True)
            with source, path.open("wb") as output:
                shutil.copyfileobj(source, output)


def _remove_damaged(target: Path, aside: Path) -> None:
    """Take away what cannot be opened; whoever uses it meanwhile would fail anyway."""
    with contextlib.suppress(EngineError):
        open_web_engine(target)  # someone else has fetched it by now
        return
    with contextlib.suppress(FileNotFoundError):
        target.rename(aside)


def _has_content(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0


def _publish(unpacked: Path, target: Path) -> None:
    try:
        unpacked.rename(target)
    except OSError as error:
        # Someone else fetched it meanwhile; what a rename meets is complete.
        if not target.is_dir():
            raise OutputError(
                f"cannot write {target}: {error.strerror}", "check the folder's permissions"
            ) from error
