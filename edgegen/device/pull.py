"""Copying files from a device: whole or not at all."""

from __future__ import annotations

import posixpath
import shutil
import threading
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
    cancel: threading.Event | None = None,
) -> PulledFile:
    """Copy a file from a device. Reports the stage `pull` in bytes.

    Args:
        path: The file there, relative to `folder` or below it.
        transport: The device.
        output: The file here; by default of the same name, in the current folder.
        folder: The folder of the device that must not be left, through links neither.
        force: Whether an existing output may be replaced.
        cancel: Set it from another thread to stop.

    Raises:
        DeviceError: there is no such file, or the connection broke.
        OutputError: the output exists or cannot be written.
        PathRefusedError: the path leads out of `folder`.
    """
    source = confined(folder, path)
    refuse_links(transport, folder, source, cancel)
    found = transport.stat(source, cancel=cancel)
    if found is None:
        raise DeviceFileError(transport.serial, source, "no such file")
    if not found.is_file:
        raise DeviceFileError(transport.serial, source, "no ordinary file")
    target = Path(posixpath.basename(source) if output is None else output)
    if target.is_dir():
        target = target / posixpath.basename(source)
    hashes = SourceHash({"sha256"})
    with (
        atomic_output(target, force=force) as temporary,
        temporary.open("wb", buffering=0) as sink,
        stage(f"pull {target.name}", found.size, "B") as advance,
    ):
        # Of a size that an old device cannot tell, no more than there is room for.
        limit = shutil.disk_usage(temporary.parent).free if found.size is None else found.size
        with hashes.while_writing(cast(BinaryIO, sink)) as tee:
            size = transport.pull(source, tee, limit=limit, advance=advance, cancel=cancel)
        if found.size is not None and size != found.size:
            told = f"{size} bytes came, expected {found.size}"
            raise DeviceFileError(transport.serial, source, told)
    return PulledFile(transport.serial, source, target, size, hashes.hexdigest("sha256"))
