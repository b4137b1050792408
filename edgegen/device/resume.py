"""Going on where a push broke off: the hidden part file, and how much of it can be trusted."""

from __future__ import annotations

import contextlib
import hashlib
import os
import posixpath
import re
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from os import stat_result
from typing import BinaryIO, cast

from edgegen.device.digests import BLOCK, DeviceDigest
from edgegen.device.transports.failures import CancelledError
from edgegen.device.transports.interface import Transport


@dataclass(frozen=True)
class PartFile:
    """The file that holds a push until it is complete.

    Its name holds the size and time of the source, so that what an older version of it left, or
    still writes, is in another file.

    Attributes:
        path: Where it is.
        lock: The file that says who pushes to the target.
        pattern: Matches the names of all part files of the same target.
    """

    path: str
    lock: str
    pattern: re.Pattern[str]

    @classmethod
    def of(cls, target: str, about: stat_result) -> PartFile:
        """Return the part file of a source that is pushed to `target`."""
        folder, name = posixpath.split(target)
        version = f"{about.st_size}-{about.st_mtime_ns}"
        tag = hashlib.sha256(version.encode()).hexdigest()[:12]
        # Room for what stands around it, within the 255 bytes that a name may have.
        stem = (
            hashlib.sha256(os.fsencode(name)).hexdigest()[:16]
            if len(os.fsencode(name)) > 200
            else name
        )
        pattern = re.compile(rf"\.{re.escape(stem)}\.[0-9a-f]{{12}}\.part(\.cut)?")
        return cls(f"{folder}/.{stem}.{tag}.part", f"{folder}/.{stem}.lock", pattern)

    def remove_others(self, transport: Transport, cancel: threading.Event) -> None:
        """Remove what pushes of other versions have left; only for who holds the lock."""
        folder, own = posixpath.split(self.path)
        for entry in transport.list(folder, cancel=cancel):
            ours = entry.stat.is_file and self.pattern.fullmatch(entry.name)
            if ours and entry.name != own:
                transport.remove(f"{folder}/{entry.name}", cancel=cancel)


class SourceHash:
    """Hashes of what is read, by several algorithms at once."""

    def __init__(self, algorithms: Iterable[str]) -> None:
        self._algorithms = tuple(sorted(set(algorithms)))
        self.reset()

    def reset(self) -> None:
        """Start anew."""
        self._hashes = {name: hashlib.new(name) for name in self._algorithms}

    def hexdigest(self, algorithm: str) -> str:
        """Return a hash of all that was read."""
        return self._hashes[algorithm].hexdigest()

    def write(self, data: bytes | memoryview) -> int:
        """Add bytes, as to a file."""
        for each in self._hashes.values():
            each.update(data)
        return len(data)

    def read(self, source: BinaryIO, count: int, cancel: threading.Event, serial: str) -> None:
        """Add the next `count` bytes of a file."""
        buffer = memoryview(bytearray(min(BLOCK, max(count, 1))))
        while count > 0:
            if cancel.is_set():
                raise CancelledError(serial)
            got = source.readinto(buffer[:count])  # type: ignore[attr-defined]
            if not got:
                return
            self.write(buffer[:got])
            count -= got

    @contextlib.contextmanager
    def while_reading(self, source: BinaryIO) -> Iterator[BinaryIO]:
        """Yield a file that adds what is read from it; all is added when the block ends.

        In a thread, since hashing takes as long as sending where the connection is fast.
        """
        with ThreadPoolExecutor(1, "hash") as pool:
            reader = _HashedReader(source, self, pool)
            yield cast(BinaryIO, reader)
            reader.finish()

    @contextlib.contextmanager
    def while_writing(self, sink: BinaryIO) -> Iterator[BinaryIO]:
        """Yield a file that adds what is written to it; all is there when the block ends."""
        with ThreadPoolExecutor(1, "hash") as pool:
            writer = _HashedWriter(sink, self, pool)
            yield cast(BinaryIO, writer)
            writer.finish()


class _HashedWriter:
    """Gathers pieces in one of two buffers while the other is hashed and written."""

    def __init__(self, sink: BinaryIO, hashes: SourceHash, pool: ThreadPoolExecutor) -> None:
        self._sink, self._hashes, self._pool = sink, hashes, pool
        self._buffers = [memoryview(bytearray(BLOCK)) for _ in range(2)]
        self._filled = 0
        self._storing: Future[None] | None = None

    def write(self, data: memoryview) -> int:
        """Take all of it; the caller may reuse it at once."""
        left = memoryview(data)
        while left:
            count = min(len(left), BLOCK - self._filled)
            self._buffers[0][self._filled : self._filled + count] = left[:count]
            self._filled += count
            left = left[count:]
            if self._filled == BLOCK:
                self._pass_on()
        return len(data)

    def finish(self) -> None:
        """Wait for everything to be hashed and written."""
        self._pass_on()
        if self._storing is not None:
            self._storing.result()

    def _pass_on(self) -> None:
        if self._storing is not None:
            self._storing.result()
        self._storing = self._pool.submit(self._store, self._buffers[0][: self._filled])
        self._buffers.reverse()
        self._filled = 0

    def _store(self, piece: memoryview) -> None:
        self._hashes.write(piece)
        while piece:  # a raw file may take less at a time
            piece = piece[self._sink.write(piece) :]


class _HashedReader:
    def __init__(self, source: BinaryIO, hashes: SourceHash, pool: ThreadPoolExecutor) -> None:
        self._source, self._hashes, self._pool = source, hashes, pool
        self._hashing: Future[int] | None = None

    def readinto(self, buffer: memoryview) -> int:
        """Read into a buffer, as of a raw file; it must stay as it is until the next call."""
        self.finish()  # the buffer may be the one that is being hashed
        count = int(self._source.readinto(buffer) or 0)  # type: ignore[attr-defined]
        if count:
            self._hashing = self._pool.submit(self._hashes.write, buffer[:count])
        return count

    def finish(self) -> None:
        """Wait for what has been read to be hashed."""
        if self._hashing is not None:
            self._hashing.result()
            self._hashing = None


def verified_blocks(
    transport: Transport,
    part: PartFile,
    source: BinaryIO,
    size: int,
    digest: DeviceDigest | None,
    cancel: threading.Event,
) -> int:
    """Return how many MiB at the begin of a part file are those of the source.

    All of it in most cases, for bytes arrive in order; else, after a power cut or a fault on the
    way, halving tells. Without a way to hash on the device it is none.
    """
    found = transport.stat(part.path, cancel=cancel)
    if found is None or not found.is_file or digest is None or not found.size:
        return 0
    good, suspect = 0, min(found.size, size) // BLOCK
    if suspect and _same(transport, part, source, 0, suspect, digest, cancel):
        return suspect
    while suspect - good > 1:  # good: all before it is right; suspect: something before it is not
        middle = (good + suspect) // 2
        if _same(transport, part, source, good, middle, digest, cancel):
            good = middle
        else:
            suspect = middle
    return good


def _same(
    transport: Transport,
    part: PartFile,
    source: BinaryIO,
    begin: int,
    end: int,
    digest: DeviceDigest,
    cancel: threading.Event,
) -> bool:
    source.seek(begin * BLOCK)
    here = SourceHash({digest.algorithm})
    here.read(source, (end - begin) * BLOCK, cancel, transport.serial)
    there = digest.of_blocks(transport, part.path, begin, end, cancel)
    return there == here.hexdigest(digest.algorithm)
