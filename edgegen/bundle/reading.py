"""What the operating system says when a file cannot be read, as a `BundleError`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from edgegen.errors import BundleError


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals to read `path` into `BundleError`."""
    try:
        yield
    except OSError as error:
        raise BundleError(
            f"cannot read {path}: {error.strerror or error}",
            "check the path and the permissions of the file and its folder",
        ) from error
