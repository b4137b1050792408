"""Copying parts of files and hashing them, with the copy left to the kernel where it can.

The bytes of a model are copied without passing through this process (`copy_file_range`), while a
thread reads them from the page cache and hashes them: on two cores that costs little over `cp`.
"""

from __future__ import annotations

import errno
import hashlib
import os
import zlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import IO

from edgegen.progress import Advance

_STEP_BYTES = 64 * 1024**2
_STEPS_BEHIND = 8  # that hashing may be behind copying
_READ_BYTES = 4 * 1024**2
# What Linux says where two file systems, or one of them, cannot do it.
_CANNOT = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF, errno.EPERM)


class Sums:
    """The checksums of bytes that go by.

    Args:
        crc: Take the CRC-32.
        sha256: Take the SHA-256.
    """

    def __init__(self, *, crc: bool, sha256: bool) -> None:
        self.crc = 0
        self._wants_crc = crc
        self._sha256 = hashlib.sha256() if sha256 else None

    def update(self, chunk: bytes) -> None:
        """Go on with the next bytes."""
        if self._wants_crc:
            self.crc = zlib.crc32(chunk, self.crc)
        if self._sha256 is not None:
            self._sha256.update(chunk)

    def sha256(self) -> bytes:
        """Return the SHA-256, or no bytes if it was not asked for."""
        return b"" if self._sha256 is None else self._sha256.digest()


def hash_range(source: IO[bytes], size: int, sums: Sums, advance: Advance) -> None:
    """Hash the next `size` bytes of `source`.

    Raises:
        EOFError: there are fewer.
    """
    left = size
    while left:
        chunk = source.read(min(_READ_BYTES, left))
        if not chunk:
            raise EOFError(f"{left} of {size} bytes are missing")
        sums.update(chunk)
        left -= len(chunk)
        advance(len(chunk))


def copy_range(
    source: IO[bytes], target: IO[bytes], size: int, sums: Sums, advance: Advance
) -> None:
    """Copy the next `size` bytes of `source` to where `target` stands, and hash them.

    Args:
        source: A file open for reading.
        target: A file open for writing; it stands behind the bytes afterwards, as `source` does.
        size: How many bytes.
        sums: Is given them in order.
        advance: Is told of bytes done.

    Raises:
        EOFError: there are fewer.
    """
    start, goal, done, seen = source.tell(), target.tell(), 0, 0
    target.flush()
    hashed: deque[Future[int]] = deque()
    with ThreadPoolExecutor(1, "hash") as pool:
        while done < size:
            step = min(_STEP_BYTES, size - done)
            hashed.append(pool.submit(_hash_at, source.fileno(), start + done, step, sums))
            copied = _copy_at(source.fileno(), target.fileno(), start + done, goal + done, step)
            if copied < step:
                raise EOFError(f"{size - done - copied} of {size} bytes are missing")
            done += step
            # Not further behind than what surely is in memory still.
            while hashed and (done == size or len(hashed) > _STEPS_BEHIND):
                seen += hashed.popleft().result()
            advance(step)
    if seen < size:  # it was cut while it was copied
        raise EOFError(f"{size - seen} of {size} bytes are missing")
    source.seek(start + size)
    target.seek(goal + size)


def _hash_at(source: int, start: int, size: int, sums: Sums) -> int:
    done = 0
    while done < size and (chunk := os.pread(source, min(_READ_BYTES, size - done), start + done)):
        sums.update(chunk)
        done += len(chunk)
    return done


def _copy_at(source: int, target: int, start: int, goal: int, size: int) -> int:
    """Copy up to `size` bytes and return how many there were."""
    done = 0
    if hasattr(os, "copy_file_range"):
        try:
            while done < size:
                copied = os.copy_file_range(source, target, size - done, start + done, goal + done)
                if copied == 0:
                    return done
                done += copied
        except OSError as error:
            if error.errno not in _CANNOT:
                raise
    while done < size and (chunk := os.pread(source, min(_READ_BYTES, size - done), start + done)):
        view = memoryview(chunk)
        while view:
            written = os.pwrite(target, view, goal + done)
            done, view = done + written, view[written:]
    return done
