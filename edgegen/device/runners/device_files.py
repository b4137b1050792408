"""Files for a device that a user supplies."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from edgegen.errors import DeviceError

_BLOCK = 1024**2
_ELF = b"\x7fELF"
# e_machine of the ELF header, and the names that Android and `uname -m` have for it.
_MACHINES = {
    183: ("arm64-v8a", "aarch64"),
    62: ("x86_64",),
    40: ("armeabi-v7a", "armeabi", "armv7l", "armv8l"),
    3: ("x86", "i686"),
}


def file_sha256(path: Path) -> str:
    """Return the hash of a file.

    Raises:
        DeviceError: it cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    except OSError as error:
        raise DeviceError(
            f"{path} cannot be read: {error.strerror}", "check the path and its permissions"
        ) from error
    return digest.hexdigest()


def folder_digest(hashes: Iterable[tuple[str, str]]) -> str:
    """Return a short name for a set of files, from their names and hashes."""
    text = "".join(f"{name} {digest}\n" for name, digest in sorted(hashes))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def check_machine(path: Path, abis: tuple[str, ...]) -> None:
    """Raise `DeviceError` if a program is built for another processor than the device's.

    What is no ELF file is left to the device.
    """
    with path.open("rb") as file:
        head = file.read(20)
    if head[:4] != _ELF or len(head) < 20 or not abis:
        return
    names = _MACHINES.get(int.from_bytes(head[18:20], "little"), ("another processor",))
    if not set(names) & set(abis):
        raise DeviceError(
            f"{path.name} is built for {names[0]}, but the device runs {', '.join(abis)}",
            "take the engine's build for the device, such as android_arm64",
        )
