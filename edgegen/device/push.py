"""Copying bundles to devices: only what is missing, whole or not at all."""

from __future__ import annotations

import contextlib
import contextvars
import functools
import os
import shlex
import stat
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, cast

from edgegen.device.description import DEFAULT_FOLDER, free_bytes
from edgegen.device.device_paths import confined, refuse_links
from edgegen.device.digests import BLOCK, DeviceDigest, choose_digest
from edgegen.device.push_lock import PushLock
from edgegen.device.resume import PartFile, SourceHash, verified_blocks
from edgegen.device.transports.failures import (
    CorruptedError,
    DeviceFileError,
    NoRawInputError,
    OutOfSpaceError,
    SourceChangedError,
    UnexpectedError,
)
from edgegen.device.transports.interface import Advance, Transport
from edgegen.errors import DeviceError, EdgegenError
from edgegen.progress import stage

_POLL_S = 0.2


@dataclass(frozen=True)
class Target:
    """A device that is connected to when its turn comes, so that none waits for another.

    Attributes:
        serial: What to call it.
        connect: Connects to it; `cancel` stops that.
    """

    serial: str
    connect: Callable[[threading.Event], Transport]


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


@dataclass(frozen=True)
class DevicePush:
    """What became of a push to one device.

    Attributes:
        serial: The device.
        pushed: The files that are there now.
        error: What ended it before the rest, `None` if all are there.
    """

    serial: str
    pushed: tuple[PushedFile, ...]
    error: DeviceError | None


def push(
    sources: Sequence[str | Path],
    transports: Transport | Sequence[Transport | Target],
    *,
    folder: str = DEFAULT_FOLDER,
    verify: bool = False,
    mode: int = 0o644,
) -> dict[str, DevicePush]:
    """Copy files to devices, all devices at once. Reports the stage `push` for each, in bytes.

    A file appears under its name when all of it is there. Until then its bytes are in a hidden
    file beside it, from which a later push goes on. A file that is there already is not sent.

    Args:
        sources: Files here.
        transports: One device or several, connected or to be.
        folder: Where to put them there; made if it is missing.
        verify: Hash what was sent on the device, too. Where an earlier push was gone on from, that
            is done in any case.
        mode: Permissions there.

    Returns:
        For each serial what was pushed, and the error that ended it, if one did: one device does
        not wait for the troubles of another.

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
    results: dict[str, DevicePush] = {}
    with ThreadPoolExecutor(max(1, len(devices)), "push") as pool:
        running: dict[Future[DevicePush], str] = {}
        try:
            for device in devices:
                context = contextvars.copy_context()  # where progress is reported
                work = functools.partial(_push_to, device, paths, folder, verify, mode, cancel)
                running[pool.submit(context.run, work)] = device.serial
            while running:
                done, _ = wait(running, _POLL_S, FIRST_COMPLETED)
                for future in done:
                    results[running.pop(future)] = future.result()
        except BaseException:  # Ctrl-C comes here, not in the threads
            cancel.set()
            raise
    return {device.serial: results[device.serial] for device in devices}


def _push_to(
    device: Transport | Target,
    sources: Sequence[Path],
    folder: str,
    verify: bool,
    mode: int,
    cancel: threading.Event,
) -> DevicePush:
    """Push one file after the other to one device."""
    serial = device.serial
    pushed: list[PushedFile] = []
    error: DeviceError | None = None
    try:
        with contextlib.ExitStack() as stack:
            if isinstance(device, Target):
                transport = stack.enter_context(device.connect(cancel))
                serial = transport.serial
            else:
                transport = device
            transport.make_folder(folder, cancel=cancel)
            digest = choose_digest(transport, cancel)
            for source in sources:
                task = _Push(transport, folder, verify, mode, cancel)
                pushed.append(task.one(source, digest))
    except DeviceError as caught:
        error = caught
    except Exception as caught:  # the other devices have no part in it
        error = UnexpectedError(serial, caught)
        error.__cause__ = caught
    return DevicePush(serial, tuple(pushed), error)


@dataclass
class _Push:
    """One file to one device."""

    transport: Transport
    folder: str
    verify: bool
    mode: int
    cancel: threading.Event
    notes: list[str] = field(default_factory=list)

    def one(self, source: Path, digest: DeviceDigest | None) -> PushedFile:
        """Push it."""
        began = time.monotonic()
        target = confined(self.folder, source.name)
        refuse_links(self.transport, self.folder, target, self.cancel)
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
        verified = skipped or self.verify or resumed > 0
        return PushedFile(
            serial=self.transport.serial,
            source=source,
            path=target,
            size=before.st_size,
            sha256=hashes.hexdigest("sha256"),
            skipped=skipped,
            resumed_from=resumed,
            seconds=time.monotonic() - began,
            verified_by=(digest.algorithm if digest else "bytes") if verified else None,
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
        found = self.transport.stat(target, cancel=self.cancel)
        if found is not None and not found.is_file:
            raise DeviceFileError(self.transport.serial, target, "it is there, and no file")
        if found is None or found.size != size or digest is None:
            return False
        hashes.read(content, size, self.cancel, self.transport.serial)
        there = digest.of_file(self.transport, target, size, self.cancel)
        if there != hashes.hexdigest(digest.algorithm):
            return False
        if found.mode & 0o777 != self.mode:
            self.transport.run(("chmod", f"{self.mode:o}", target), cancel=self.cancel)
        return True

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
        lock = PushLock(self.transport, target, part.lock, part.path, self.cancel)
        lock.take()
        try:
            return self._send_alone(target, part, lock, about, content, hashes, digest, advance)
        finally:
            lock.release()

    def _send_alone(
        self,
        target: str,
        part: PartFile,
        lock: PushLock,
        about: os.stat_result,
        content: BinaryIO,
        hashes: SourceHash,
        digest: DeviceDigest | None,
        advance: Advance,
    ) -> int:
        part.remove_others(self.transport, self.cancel)  # the room that they take may be needed
        blocks = verified_blocks(self.transport, part, content, about.st_size, digest, self.cancel)
        there = blocks * BLOCK
        if blocks == 0:
            self.transport.remove(part.path, cancel=self.cancel)
        self._require_space(about.st_size - there)
        content.seek(0)
        hashes.read(content, there, self.cancel, self.transport.serial)
        advance(there)
        lock.refresh()
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
            self.transport.remove(part.path, cancel=self.cancel)
            raise SourceChangedError(str(content.name))
        lock.refresh()
        # What was there before may have changed since it was hashed: then all of it counts.
        verify = self.verify or there > 0
        self._check(part.path, about.st_size, hashes, digest, verify)
        old, new = shlex.quote(part.path), shlex.quote(target)
        lock.run_as_owner(f"[ ! -d {new} ] && chmod {self.mode:o} {old} && mv -f {old} {new}")
        return there

    def _require_space(self, needed: int) -> None:
        free = free_bytes(self.transport, self.folder, self.cancel)
        if free is None:
            self.notes.append("the device does not tell how much space is free")
        elif free < needed:
            raise OutOfSpaceError(self.transport.serial, self.folder, needed, free)

    def _check(
        self, path: str, size: int, hashes: SourceHash, digest: DeviceDigest | None, verify: bool
    ) -> None:
        """Compare what arrived with what was sent: its size, and if asked to its content."""
        found = self.transport.stat(path, cancel=self.cancel)
        if found is None or found.size not in (size, None):
            self.transport.remove(
                path, cancel=self.cancel
            )  # nothing that a later push could go on from
            told = "it is gone" if found is None else f"{found.size} of {size} bytes arrived"
            raise DeviceFileError(self.transport.serial, path, told)
        if not verify:
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
    try:
        path.open("rb").close()
    except OSError as error:
        raise EdgegenError(
            f"{path} cannot be read: {error.strerror}", "check its permissions"
        ) from error
    if not path.name:
        raise EdgegenError(f"{path} has no name", "name a file, such as a bundle")
    return path
