"""Copying bundles to devices: only what is missing, whole or not at all."""

from __future__ import annotations

import contextvars
import os
import stat
import threading
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, cast

from edgegen.device.description import DEFAULT_FOLDER, free_bytes
from edgegen.device.device_paths import confined, refuse_links
from edgegen.device.digests import BLOCK, DeviceDigest, choose_digest
from edgegen.device.resume import PartFile, SourceHash, verified_blocks
from edgegen.device.transports.failures import (
    CorruptedError,
    DeviceFileError,
    NoRawInputError,
    OutOfSpaceError,
    SourceChangedError,
)
from edgegen.device.transports.interface import Advance, Transport
from edgegen.errors import DeviceError, EdgegenError
from edgegen.progress import stage

_POLL_S = 0.2


@dataclass(frozen=True)
class PushedFile:
    """A file that is on a device now.

    Attributes:
        serial: The device.
        source: The file here.
        path: Its path there.
        size: In bytes.
        sha256: Hash of the file here.
        skipped: Whether the device had it already.
        resumed_from: Bytes that an earlier push had left there, and that were right.
        seconds: How long it took.
        verified_by: The algorithm by which the device's copy was compared; `bytes` if it was read
            back; `None` if only its size was.
        notes: What was not done as usual, and why.
    """

    serial: str
    source: Path
    path: str
    size: int
    sha256: str
    skipped: bool
    resumed_from: int
    seconds: float
    verified_by: str | None
    notes: tuple[str, ...]


def push(
    sources: Sequence[str | Path],
    transports: Transport | Sequence[Transport],
    *,
    folder: str = DEFAULT_FOLDER,
    verify: bool = False,
    mode: int = 0o644,
) -> dict[str, list[PushedFile] | DeviceError]:
    """Copy files to devices, all devices at once. Reports the stage `push` for each, in bytes.

    A file appears under its name when all of it is there. Until then its bytes are in a hidden
    file beside it, from which a later push goes on. A file that is there already is not sent.

    Args:
        sources: Files here.
        transports: One device or several.
        folder: Where to put them there; made if it is missing.
        verify: Hash what was sent on the device, too.
        mode: Permissions there.

    Returns:
        For each serial what was pushed, or the error that ended it: one device does not wait for
        the troubles of another.

    Raises:
        EdgegenError: a source cannot be read, or two have the same name.
    """
    devices = [transports] if isinstance(transports, Transport) else list(transports)
    paths = [_source(Path(source)) for source in sources]
    names = [path.name for path in paths]
    if twice := [name for name in names if names.count(name) > 1]:
        raise EdgegenError(
            f"two files are called {twice[0]}, and one folder cannot hold both",
            "push them one after the other, with different --to",
        )
    cancel = threading.Event()
    results: dict[str, list[PushedFile] | DeviceError] = {}
    with ThreadPoolExecutor(max(1, len(devices)), "push") as pool:
        running: dict[Future[list[PushedFile]], str] = {}
        try:
            for device in devices:
                context = contextvars.copy_context()  # where progress is reported
                task = _Push(device, folder, verify, mode, cancel)
                running[pool.submit(context.run, task.all, paths)] = device.serial
            while running:
                done, _ = wait(running, _POLL_S, FIRST_COMPLETED)
                for future in done:
                    serial = running.pop(future)
                    error = future.exception()
                    if isinstance(error, DeviceError):
                        results[serial] = error
                    else:
                        results[serial] = future.result()
        except BaseException:  # Ctrl-C comes here, not in the threads
            cancel.set()
            raise
    return {device.serial: results[device.serial] for device in devices}


@dataclass
class _Push:
    transport: Transport
    folder: str
    verify: bool
    mode: int
    cancel: threading.Event
    notes: list[str] = field(default_factory=list)

    def all(self, sources: Sequence[Path]) -> list[PushedFile]:
        """Push one file after the other."""
        self.transport.make_folder(self.folder)
        digest = choose_digest(self.transport)
        return [self._one(source, digest) for source in sources]

    def _one(self, source: Path, digest: DeviceDigest | None) -> PushedFile:
        began = time.monotonic()
        self.notes = []
        target = confined(self.folder, source.name)
        refuse_links(self.transport, self.folder, target)
        if digest is None:
            self.notes.append("the device has no program that hashes: nothing could be skipped")
        elif digest.algorithm != "sha256":
            self.notes.append(f"the device has no sha256sum: compared by {digest.algorithm}")
        with source.open("rb", buffering=0) as raw:
            content = cast(BinaryIO, raw)
            before = os.fstat(raw.fileno())
            hashes = SourceHash({"sha256", *([digest.algorithm] if digest else [])})
            name = f"push {source.name} to {self.transport.serial}"
            with stage(name, before.st_size, "B") as advance:
                skipped = self._is_there(target, before.st_size, content, hashes, digest)
                resumed = 0
                if not skipped:
                    hashes.reset()
                    resumed = self._send(target, before, content, hashes, digest, advance)
        verified = (digest.algorithm if digest else "bytes") if skipped or self.verify else None
        return PushedFile(
            serial=self.transport.serial,
            source=source,
            path=target,
            size=before.st_size,
            sha256=hashes.hexdigest("sha256"),
            skipped=skipped,
            resumed_from=resumed,
            seconds=time.monotonic() - began,
            verified_by=verified,
            notes=tuple(self.notes),
        )

    def _is_there(
        self,
        target: str,
        size: int,
        content: BinaryIO,
        hashes: SourceHash,
        digest: DeviceDigest | None,
    ) -> bool:
        """Tell whether the device has the file."""
        found = self.transport.stat(target)
        if found is not None and not found.is_file:
            raise DeviceFileError(self.transport.serial, target, "it is there, and no file")
        if found is None or found.size != size or digest is None:
            return False
        hashes.read(content, size, self.cancel, self.transport.serial)
        there = digest.of_file(self.transport, target, size, self.cancel)
        return there == hashes.hexdigest(digest.algorithm)

    def _send(
        self,
        target: str,
        about: os.stat_result,
        content: BinaryIO,
        hashes: SourceHash,
        digest: DeviceDigest | None,
        advance: Advance,
    ) -> int:
        """Write the part file and give it its name; return how much of it was there before."""
        part = PartFile.of(target, about)
        blocks = verified_blocks(self.transport, part, content, about.st_size, digest, self.cancel)
        there = blocks * BLOCK
        self._require_space(part.path, about.st_size - there, about.st_size)
        if blocks == 0:
            self.transport.remove(part.path)
        content.seek(0)
        hashes.read(content, there, self.cancel, self.transport.serial)
        advance(there)
        try:
            with hashes.while_reading(content) as source:
                self.transport.write_at(
                    source,
                    part.path,
                    block=blocks,
                    size=about.st_size - there,
                    advance=advance,
                    cancel=self.cancel,
                )
        except NoRawInputError:
            self.notes.append("the device is old: a push that breaks off starts anew")
            content.seek(0)
            hashes.reset()
            there = 0
            with hashes.while_reading(content) as source:
                self.transport.push(source, part.path, advance=advance, cancel=self.cancel)
        now = os.fstat(content.fileno())
        if (about.st_size, about.st_mtime_ns) != (now.st_size, now.st_mtime_ns):
            self.transport.remove(part.path)
            raise SourceChangedError(str(content.name))
        self._check(part.path, about.st_size, hashes, digest)
        self.transport.run(("chmod", f"{self.mode:o}", part.path))
        self.transport.rename(part.path, target)
        part.remove_others(self.transport)
        return there

    def _require_space(self, path: str, needed: int, size: int) -> None:
        free = free_bytes(self.transport, self.folder)
        if free is None:
            self.notes.append("the device does not tell how much space is free")
        elif free < needed:
            raise OutOfSpaceError(self.transport.serial, self.folder, needed, free)

    def _check(self, path: str, size: int, hashes: SourceHash, digest: DeviceDigest | None) -> None:
        """Compare what arrived with what was sent: its size, and if asked to its content."""
        found = self.transport.stat(path)
        if found is None or found.size not in (size, None):
            self.transport.remove(path)  # nothing that a later push could go on from
            told = "it is gone" if found is None else f"{found.size} of {size} bytes arrived"
            raise DeviceFileError(self.transport.serial, path, told)
        if not self.verify:
            return
        if digest is not None:
            there = digest.of_file(self.transport, path, size, self.cancel)
            here = hashes.hexdigest(digest.algorithm)
        else:
            self.notes.append("verified by reading all of it back")
            back = SourceHash({"sha256"})
            self.transport.pull(path, cast(BinaryIO, back), limit=size, cancel=self.cancel)
            there, here = back.hexdigest("sha256"), hashes.hexdigest("sha256")
        if there != here:
            raise CorruptedError(self.transport.serial, path, there, here)


def _source(path: Path) -> Path:
    """Return a path that can be pushed.

    Raises:
        EdgegenError: it is no ordinary file.
    """
    try:
        found = path.stat()
    except FileNotFoundError as error:
        raise EdgegenError(f"{path} does not exist", "check the path") from error
    except OSError as error:
        raise EdgegenError(f"{path}: {error.strerror}", "check the path") from error
    if not stat.S_ISREG(found.st_mode):
        raise EdgegenError(f"{path} is no ordinary file", "name a file, such as a bundle")
    if not path.name:
        raise EdgegenError(f"{path} has no name", "name a file, such as a bundle")
    return path
