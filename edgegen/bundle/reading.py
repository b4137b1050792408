"""Reading parts of files, with what the operating system says as a `BundleError`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from edgegen.errors import BundleError

if TYPE_CHECKING:
    from edgegen.bundle.contents import Member


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


def read_member(path: Path, member: Member, limit: int) -> bytes:
    """Read a whole member of at most `limit` bytes.

    Raises:
        BundleError: it is larger, or cannot be read.
    """
    if member.size > limit:
        raise BundleError(
            f"member {member.name} of {path} has {member.size} bytes, expected at most {limit}",
            "make the bundle again; this one is damaged or not a bundle",
        )
    with reading(path), path.open("rb") as file:
        file.seek(member.offset)
        return file.read(member.size)
