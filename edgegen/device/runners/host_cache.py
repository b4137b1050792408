"""The folder where the host's engine keeps prepared weights, which are as large as the model."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

_PREFIX = ".edgegen-bench-"
_TRIES = 8


@contextlib.contextmanager
def cache_folder(beside: Path) -> Iterator[Path]:
    """Make a temporary folder for prepared weights.

    It lies hidden in the bundle's folder, on a disk that holds such files. The system's
    folder for temporary files, often in memory, is used only where that one is read-only. Folders
    there that a benchmark left when it was killed are removed first: nobody holds their lock.
    """
    beside = beside.absolute()
    _remove_stale(beside)
    with contextlib.ExitStack() as stack:
        try:
            name = stack.enter_context(_locked_folder(beside))
        except OSError:
            name = stack.enter_context(tempfile.TemporaryDirectory(prefix="edgegen-bench-"))
        yield Path(name)


@contextlib.contextmanager
def _locked_folder(beside: Path) -> Iterator[str]:
    """Make a folder that is locked as long as it is in use; the lock ends with this process."""
    with contextlib.ExitStack() as stack:
        for _ in range(_TRIES):
            name = stack.enter_context(tempfile.TemporaryDirectory(prefix=_PREFIX, dir=beside))
            # Another benchmark may take it for a stale one before it is locked.
            with contextlib.suppress(FileNotFoundError, BlockingIOError):
                descriptor = os.open(name, os.O_RDONLY | os.O_DIRECTORY)
                stack.callback(os.close, descriptor)
                _lock(descriptor)
                if Path(name).is_dir():
                    break
        else:
            raise FileNotFoundError(name)
        yield name


def _lock(descriptor: int) -> None:
    """Lock a folder; nothing happens on network disks without such locks.

    Raises:
        BlockingIOError: somebody else holds it.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:
        return


def _remove_stale(beside: Path) -> None:
    """Remove folders that nobody holds; what cannot be locked or removed is left."""
    with contextlib.suppress(OSError):
        for folder in beside.glob(f"{_PREFIX}*"):
            with contextlib.suppress(OSError):
                descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(folder, ignore_errors=True)
                finally:
                    os.close(descriptor)
