"""Copying files from a device: whole or not at all."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from edgegen.device.description import DEFAULT_FOLDER
from edgegen.device.device_paths import confined, refuse_links
from edgegen.device.resume import SourceHash
from edgegen.device.transports.failures import DeviceFileError
from edgegen.device.transports.interface import Transport
from edgegen.files import atomic_output
from edgegen.progress import stage


@dataclass(frozen=True)
class PulledFile:
    """A file that was copied from a device.

    Attributes:
        serial: The device.
        path: The file there.
        output: The file here.
        size: In bytes.
        sha256: Its hash.
    """

    serial: str
    path: str
    output: Path
    size: int
    sha256: str


def pull(
    path: str,
    transport: Transport,
    output: str | Path | None = None,
    *,
    folder: str = DEFAULT_FOLDER,
    force: bool = False,
) -> PulledFile:
    """Copy a file from a device. Reports the stage `pull` in bytes.

    Args:
        path: The file there, relative to `folder` or below it.
        transport: The device.
        output: The file here; by default of the same name, in the current folder.
        folder: The folder of the device that must not be left, through links neither.
        force: Whether an existing output may be replaced.

    Raises:
        DeviceError: there is no such file, or the connection broke.
        OutputError: the output exists or cannot be written.
        PathRefusedError: the path leads out of `folder`.
    """
    source = confined(folder, path)
    refuse_links(transport, folder, source)
    found = transport.stat(source)
    if found is None:
        raise DeviceFileError(transport.serial, source, "no such file")
    target = Path(posixpath.basename(source) if output is None else output)
    if target.is_dir():
        target = target / posixpath.basename(source)
    hashes = SourceHash({"sha256"})
    with (
        atomic_output(target, force=force) as temporary,
        temporary.open("wb", buffering=0) as sink,
        stage(f"pull {target.name}", found.size, "B") as advance,
    ):
        tee = cast(BinaryIO, _Tee(cast(BinaryIO, sink), hashes))
        size = transport.pull(source, tee, limit=found.size, advance=advance)
        if found.size is not None and size != found.size:
            told = f"{size} bytes came, expected {found.size}"
            raise DeviceFileError(transport.serial, source, told)
    return PulledFile(transport.serial, source, target, size, hashes.hexdigest("sha256"))


class _Tee:
    """Writes to a file, and to a hash."""

    def __init__(self, sink: BinaryIO, hashes: SourceHash) -> None:
        self._sink, self._hashes = sink, hashes

    def write(self, data: memoryview) -> int:
        """Write all of it; a raw file may take less at a time."""
        self._hashes.write(data)
        left = memoryview(data)
        while left:
            left = left[self._sink.write(left) :]
        return len(data)
