"""Writing files so that a name either holds the whole result or does not exist."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from edgegen.errors import OutputError

_INSERT_RANGE = 0x20  # of linux/falloc.h


def refuse_overwrite(path: Path, *, force: bool) -> None:
    """Raise `OutputError` if `path` cannot become a result file.

    Called before the work starts, so that an hour of converting does not end at a name
    that was taken all along.
    """
    if path.is_dir():
        raise OutputError(
            f"output {path} is a folder, expected a file name", "name the file inside it"
        )
    if path.exists() and not path.is_file():
        raise OutputError(
            f"output {path} is not an ordinary file", "name a file that may be replaced"
        )
    if path.exists() and not force:
        raise OutputError(
            f"output {path} exists", "pass --force to replace it, or choose another name"
        )
    if not path.parent.is_dir():
        raise OutputError(
            f"folder {path.parent} of the output does not exist",
            f"create it: mkdir -p {path.parent}",
        )


@contextlib.contextmanager
def atomic_output(path: Path, *, force: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success sync it and rename it to `path`.

    Whatever ends the block early (an error, a full disk, Ctrl-C) removes the temporary
    file, and `path` keeps what it held before.

    Raises:
        OutputError: `path` exists and `force` is false, or the disk refused the bytes.
    """
    refuse_overwrite(path, force=force)
    with disk_errors(path):
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        os.close(handle)
    temporary = Path(name)
    try:
        with disk_errors(path):
            yield temporary
            temporary.chmod(0o666 & ~_umask())
            publish(temporary, path, force=force)
    finally:
        temporary.unlink(missing_ok=True)


def publish(finished: Path, path: Path, *, force: bool) -> None:
    """Give a finished file on the same disk its final name, durably.

    Raises:
        OutputError: `path` came to exist meanwhile and `force` is false, or the disk refused.
    """
    with disk_errors(path):
        _sync(finished)
        refuse_overwrite(path, force=force)
        finished.replace(path)
        _sync(path.parent)


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals to write `path` into `OutputError`."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise OutputError(
                f"no space left while writing {path}: {error.strerror}",
                "free some space or choose another disk; nothing was left behind",
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise OutputError(
                f"cannot write {path}: {error.strerror}", "check the folder's permissions"
            ) from error
        raise


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def insert_gap(path: Path, nbytes: int) -> bool:
    """Move a file's content up by `nbytes` without copying it, where the file system can.

    Linux does so on ext4 and XFS (`fallocate` with FALLOC_FL_INSERT_RANGE) for whole blocks.

    Returns:
        Whether it was done; the file is as it was otherwise.
    """
    allocate = getattr(ctypes.CDLL(None, use_errno=True), "fallocate", None)
    if allocate is None:
        return False
    allocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
    handle = os.open(path, os.O_RDWR)
    try:
        done: int = allocate(handle, _INSERT_RANGE, 0, nbytes)
        return done == 0
    finally:
        os.close(handle)
