"""The directory of a zip file that may have come from anywhere, read without trusting it.

`zipfile` alone would read a directory of any size into memory and knows nothing of where a
member's data lies, which is what mapping a model needs.
"""

from __future__ import annotations

import contextlib
import itertools
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from edgegen.bundle.contents import Member
from edgegen.bundle.reading import reading
from edgegen.errors import BundleError

MAX_MEMBERS = 64
MAX_DIRECTORY_BYTES = 4 * 1024**2

_LOCAL_HEADER = struct.Struct("<4s5HLLLHH")
_LOCAL_MAGIC = b"PK\x03\x04"
_END_MAGIC, _END64_MAGIC, _LOCATOR64_MAGIC = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
_END_BYTES, _LOCATOR64_BYTES, _MAX_COMMENT = 22, 20, 0xFFFF
_ENCRYPTED = 0x1


def read_members(path: Path) -> tuple[Member, ...]:
    """Read the members of a zip file, all of which must be stored.

    Raises:
        BundleError: not readable, not a zip, cut off, compressed, or dangerous.
    """
    with reading(path), _damage(path), path.open("rb") as file:
        size = path.stat().st_size
        _check_directory_size(path, file, size)
        with zipfile.ZipFile(file) as archive:
            infos = archive.infolist()
        if len(infos) > MAX_MEMBERS:
            raise BundleError(
                f"{path} has {len(infos)} members, expected at most {MAX_MEMBERS}",
                "this is an archive, but not a bundle",
            )
        members = tuple(_member(path, file, info, size) for info in infos)
    names = [member.name for member in members]
    if len(set(names)) < len(names):
        raise BundleError(
            f"{path} has several members of the same name: {', '.join(sorted(names))}",
            "make the bundle again; engines would disagree about which one counts",
        )
    _refuse_overlaps(path, members)
    return members


def _refuse_overlaps(path: Path, members: tuple[Member, ...]) -> None:
    ordered = sorted(members, key=lambda member: member.offset)
    for before, member in itertools.pairwise(ordered):
        if member.offset < before.offset + before.size:
            raise BundleError(
                f"{path} is damaged: member {member.name} begins inside {before.name}",
                "build, download or copy the bundle again",
            )


@contextlib.contextmanager
def _damage(path: Path) -> Iterator[None]:
    """Turn what `zipfile` and `struct` raise on nonsense into `BundleError`."""
    try:
        yield
    except (
        zipfile.BadZipFile,
        struct.error,
        ValueError,
        NotImplementedError,
        EOFError,
        IndexError,
    ) as error:
        raise BundleError(
            f"{path} is damaged: {error}", "build, download or copy the bundle again"
        ) from error


def _check_directory_size(path: Path, file: IO[bytes], size: int) -> None:
    """Refuse files without a directory, and directories too large to be a bundle's."""
    head = file.read(8)
    tail_at = max(0, size - _END_BYTES - _MAX_COMMENT - _LOCATOR64_BYTES)
    file.seek(tail_at)
    tail = file.read()
    end = tail.rfind(_END_MAGIC)
    if end < 0 or end + _END_BYTES > len(tail):
        raise _no_directory(path, head, size)
    (directory,) = struct.unpack_from("<L", tail, end + 12)
    locator = end - _LOCATOR64_BYTES
    if locator >= 0 and tail[locator : locator + 4] == _LOCATOR64_MAGIC:
        (end64_at,) = struct.unpack_from("<Q", tail, locator + 8)
        file.seek(min(end64_at, size))
        end64 = file.read(56)
        if end64[:4] == _END64_MAGIC:
            (directory,) = struct.unpack_from("<Q", end64, 40)
    if directory > MAX_DIRECTORY_BYTES:
        raise BundleError(
            f"{path} has a directory of {directory} bytes, expected at most {MAX_DIRECTORY_BYTES}",
            "this is not a bundle, or it is damaged",
        )


def _no_directory(path: Path, head: bytes, size: int) -> BundleError:
    if _LOCAL_MAGIC in head:  # MediaPipe's bundler puts four bytes of padding before it
        return BundleError(
            f"{path} ({size} bytes) is cut off: it begins as a zip but its directory, which "
            "stands at the end, is missing",
            "download or copy it again",
        )
    if head[4:] == b"TFL3":
        return BundleError(
            f"{path} is a bare TFLite model, expected a .task bundle",
            "bundle it with a tokenizer first: edgegen build CHECKPOINT -o OUT.task",
        )
    return BundleError(
        f"{path} ({size} bytes) is not a zip file, expected a .task bundle",
        "pass the file that edgegen build wrote",
    )


def _member(path: Path, file: IO[bytes], info: zipfile.ZipInfo, file_size: int) -> Member:
    name = info.filename
    parts = name.replace("\\", "/").split("/")
    if name.startswith(("/", "\\")) or ".." in parts or ":" in name or not name:
        raise BundleError(
            f"{path} has a member named {name!r}, which would leave the folder it is extracted to",
            "do not use this file; it was made to do harm",
        )
    if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
        raise BundleError(
            f"member {name} of {path} is compressed, engines map stored members only",
            "pack it again without compression (zip -0), or build it with edgegen",
        )
    if info.flag_bits & _ENCRYPTED:
        raise BundleError(f"member {name} of {path} is encrypted", "pack it without a password")
    file.seek(max(0, info.header_offset))
    header = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
    if info.header_offset < 0 or header[0] != _LOCAL_MAGIC:
        raise BundleError(
            f"{path} is damaged: there is no member at byte {info.header_offset}, where its "
            f"directory says {name}",
            "build, download or copy the bundle again",
        )
    local_name = file.read(header[9])
    if local_name != info.orig_filename.encode("utf-8", "replace") or header[3] != 0:
        raise BundleError(
            f"{path} is damaged: its directory says {name}, stored; the member itself "
            f"{local_name.decode('utf-8', 'replace')!r}, method {header[3]}",
            "make the bundle again; engines would disagree about which one counts",
        )
    offset = info.header_offset + _LOCAL_HEADER.size + header[9] + header[10]
    if offset + info.file_size > file_size:
        raise BundleError(
            f"{path} is cut off: member {name} ends at byte {offset + info.file_size}, the "
            f"file at {file_size}",
            "download or copy it again",
        )
    return Member(name, offset, info.file_size, crc=info.CRC)
