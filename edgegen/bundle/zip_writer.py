"""Writing a zip of stored members whose data lies where engines can map it.

Python's `zipfile` wants to see every byte go by. Here a member may also lie in the file
already: a model that was converted beside the bundle becomes its first member without being
copied, where the file system can put a gap before it (`files.insert_gap`). Both ways give the
same bytes.

The format is PKWARE's APPNOTE 6.3, sections 4.3 and 4.5.3.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import IO

from edgegen.bundle.copying import Sums, copy_range
from edgegen.progress import Advance

_LOCAL = struct.Struct("<4s5H3L2H")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR64 = struct.Struct("<4sLQL")
_FIELD64, _ALIGNMENT_FIELD = 0x0001, 0xD935  # the latter is Android's zipalign's
_MADE_ON_UNIX, _VERSION, _VERSION64 = 3 << 8, 20, 45
_MAX32 = 0xFFFFFFFF
# Some readers take 32 bits for signed, so zipfile, too, uses the 64-bit fields from here on.
ZIP64_LIMIT = 2**31 - 1
# Zip's own earliest date, 1980-01-01: the bytes depend on the content alone.
_TIME, _DATE = 0, 1 << 5 | 1
_FILE_MODE = 0o100644 << 16


@dataclass(frozen=True)
class _Entry:
    name: bytes
    header_at: int
    size: int
    crc: int


class ZipWriter:
    """Writes members one after the other, then the directory.

    Args:
        file: Open for reading and writing, at the place where the first header goes.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._entries: list[_Entry] = []
        self._header_at = 0

    def store(
        self, name: str, source: IO[bytes], size: int, alignment: int, advance: Advance
    ) -> int:
        """Copy a file's next `size` bytes as a member; they begin at a multiple of `alignment`.

        Args:
            name: The member's name, in ASCII.
            source: The file.
            size: The number of bytes.
            alignment: A power of two.
            advance: Is told of bytes done.

        Returns:
            Their CRC-32.

        Raises:
            EOFError: there are fewer bytes.
        """
        start = self._start(name, size, alignment)
        sums = Sums(crc=True, sha256=False)
        copy_range(source, self._file, size, sums, advance)
        self._head(name, size, sums.crc, start, alignment)
        return sums.crc

    def store_bytes(self, name: str, content: bytes, alignment: int) -> None:
        """Append a member; its data begins at the next multiple of `alignment`."""
        start = self._start(name, len(content), alignment)
        self._file.write(content)
        self._head(name, len(content), zlib.crc32(content), start, alignment)

    def adopt(self, name: str, size: int, crc: int, alignment: int) -> None:
        """Make a member of the bytes that lie where its data would begin, and go behind them."""
        start = self._start(name, size, alignment)
        self._head(name, size, crc, start, alignment)

    def close(self) -> None:
        """Write the directory."""
        start = self._file.tell()
        for entry in self._entries:
            self._file.write(_central(entry))
        size, count = self._file.tell() - start, len(self._entries)
        if start + size > ZIP64_LIMIT:
            end64_at = self._file.tell()
            self._file.write(
                _END64.pack(
                    b"PK\x06\x06",
                    _END64.size - 12,
                    _MADE_ON_UNIX | _VERSION64,
                    _VERSION64,
                    0,
                    0,
                    count,
                    count,
                    size,
                    start,
                )
            )
            self._file.write(_LOCATOR64.pack(b"PK\x06\x07", 0, end64_at, 1))
            start = _MAX32
        self._file.write(_END.pack(b"PK\x05\x06", 0, 0, count, count, size, start, 0))

    def _start(self, name: str, size: int, alignment: int) -> int:
        self._header_at = self._file.tell()
        return self._file.seek(data_start(self._header_at, name, size, alignment))

    def _head(self, name: str, size: int, crc: int, start: int, alignment: int) -> None:
        """Write the local header, now that the checksum is known, and go behind the data."""
        entry = _Entry(name.encode("ascii"), self._header_at, size, crc)
        extra = _sizes64(entry)
        space = start - entry.header_at - _LOCAL.size - len(entry.name) - len(extra)
        # The content of the padding is the alignment and then zeros, as zipalign writes it.
        extra += struct.pack("<HHH", _ALIGNMENT_FIELD, space - 4, alignment).ljust(space, b"\0")
        large = entry.size > ZIP64_LIMIT
        shown = _MAX32 if large else entry.size
        self._file.seek(entry.header_at)
        self._file.write(
            _LOCAL.pack(
                b"PK\x03\x04",
                _VERSION64 if large else _VERSION,
                0,
                0,
                _TIME,
                _DATE,
                entry.crc,
                shown,
                shown,
                len(entry.name),
                len(extra),
            )
            + entry.name
            + extra
        )
        self._file.seek(start + entry.size)
        self._entries.append(entry)


def data_start(header_at: int, name: str, size: int, alignment: int) -> int:
    """Return where the data of a member begins whose header begins at `header_at`."""
    field64 = 20 if size > ZIP64_LIMIT else 0
    smallest = header_at + _LOCAL.size + len(name.encode()) + field64 + 6  # empty padding has 6
    return -(-smallest // alignment) * alignment


def _sizes64(entry: _Entry) -> bytes:
    if entry.size <= ZIP64_LIMIT:
        return b""
    return struct.pack("<HHQQ", _FIELD64, 16, entry.size, entry.size)


def _central(entry: _Entry) -> bytes:
    large, far = entry.size > ZIP64_LIMIT, entry.header_at > ZIP64_LIMIT
    values = [entry.size, entry.size] if large else []
    values += [entry.header_at] if far else []
    extra = struct.pack("<HH", _FIELD64, 8 * len(values)) if values else b""
    extra += struct.pack(f"<{len(values)}Q", *values)
    version = _VERSION64 if values else _VERSION
    shown = _MAX32 if large else entry.size
    return (
        _CENTRAL.pack(
            b"PK\x01\x02",
            _MADE_ON_UNIX | version,
            version,
            0,
            0,
            _TIME,
            _DATE,
            entry.crc,
            shown,
            shown,
            len(entry.name),
            len(extra),
            0,
            0,
            0,
            _FILE_MODE,
            _MAX32 if far else entry.header_at,
        )
        + entry.name
        + extra
    )
