"""Files over a device's `sync:` service."""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterator
from typing import BinaryIO

from edgegen.device.transports import wire
from edgegen.device.transports.byte_stream import ByteStream, Part, Reader
from edgegen.device.transports.failures import (
    EndlessOutputError,
    ProtocolError,
    file_failure,
)
from edgegen.device.transports.interface import Advance, FileStat, FolderEntry
from edgegen.device.transports.patience import Patience

MAX_ENTRIES = 100_000
_NAME_MAX = 1024
_MESSAGE_MAX = 64 * 1024
_NOT_FOUND, _NOT_FOLDER = 2, 20  # Linux's numbers for ENOENT and ENOTDIR


class SyncSession:
    """One `sync:` stream.

    Args:
        stream: It, just opened.
        features: What the device can do.
        patience: How long to wait for it.
    """

    def __init__(self, stream: ByteStream, features: frozenset[str], patience: Patience) -> None:
        self._stream, self._features, self._patience = stream, features, patience
        self._reader = Reader(stream, patience)

    def stat(self, path: str) -> FileStat | None:
        """Return what lies under a path, links not followed; sizes as old as the device."""
        if wire.STAT_V2 not in self._features:
            self._request(b"STAT", path)
            _name, mode, size, mtime = wire.STAT_V1.unpack(self._record(wire.STAT_V1, b"STAT"))
            return FileStat(mode, size, mtime) if mode else None
        self._request(b"LST2", path)
        fields = wire.STAT_V2_REPLY.unpack(self._record(wire.STAT_V2_REPLY, b"LST2"))
        error, mode, size, mtime = fields[1], fields[4], fields[8], fields[10]
        if error in (_NOT_FOUND, _NOT_FOLDER):
            return None
        if error:
            raise file_failure(self._stream.serial, path, _reason(error), reading=True)
        return FileStat(mode, size, mtime)

    def list(self, path: str) -> Iterator[FolderEntry]:
        """Yield what a folder holds."""
        new = wire.LS_V2 in self._features
        record, request, entry = (
            (wire.DENT_V2, b"LIS2", b"DNT2") if new else (wire.DENT_V1, b"LIST", b"DENT")
        )
        self._request(request, path.rstrip("/") + "/")  # with the slash, a link to a folder is one
        for _ in range(MAX_ENTRIES + 1):
            fields = record.unpack(self._record(record, entry, b"DONE"))
            if fields[0] == b"DONE":
                return
            if fields[-1] > _NAME_MAX:
                raise ProtocolError(self._stream.serial, f"a file name of {fields[-1]} bytes")
            name = self._reader.exactly(fields[-1]).decode("utf-8", "surrogateescape")
            if name in (".", ".."):
                continue
            if not name or "/" in name or "\0" in name:
                raise ProtocolError(self._stream.serial, f"the file name {name!r} in {path}")
            if new:
                yield FolderEntry(name, FileStat(fields[4], fields[8], fields[10]))
            else:
                yield FolderEntry(name, FileStat(*fields[1:4]))
        raise EndlessOutputError(self._stream.serial, f"the list of {path}", MAX_ENTRIES)

    def send(
        self, source: BinaryIO, path: str, mode: int, mtime: int, advance: Advance | None
    ) -> int:
        """Write a file; return its length."""
        self._request(b"SEND", f"{path},{stat.S_IFREG | mode}")
        # As many records as fit one packet, each with its header before it. Two buffers: while
        # the device takes one, the other is filled.
        header_bytes = wire.SYNC_DATA.size
        record = min(wire.SYNC_DATA_MAX, self._stream.chunk_bytes - header_bytes)
        room = self._stream.chunk_bytes // (record + header_bytes) * record
        buffers = [memoryview(bytearray(room)) for _ in range(2)]
        total = 0
        while True:
            buffer = buffers[0]
            buffers.reverse()
            count = source.readinto(buffer)  # type: ignore[attr-defined]
            if not count:
                break
            parts: list[Part] = []
            for begin in range(0, count, record):
                piece = buffer[begin : min(begin + record, count)]
                parts += (wire.SYNC_DATA.pack(b"DATA", len(piece)), piece)
            self._stream.send(parts, self._patience)
            total += count
            if advance is not None:
                advance(count)
            if self._reader.waiting():  # a device speaks up before the end only to refuse
                break
        if not self._reader.waiting():
            done = wire.SYNC_DATA.pack(b"DONE", mtime & 0xFFFFFFFF)
            self._stream.send([done], self._patience)
        self._answer(path)
        return total

    def receive(self, path: str, sink: BinaryIO, limit: int, advance: Advance | None) -> int:
        """Read a file of at most `limit` bytes; return its length."""
        self._request(b"RECV", path)
        total = 0
        while True:
            word, length = wire.SYNC_DATA.unpack(self._reader.exactly(wire.SYNC_DATA.size))
            if word == b"DONE":
                return total
            if word == b"FAIL":
                self._fail(path, length, reading=True)
            if word != b"DATA" or not 0 < length <= wire.SYNC_DATA_MAX:
                raise ProtocolError(self._stream.serial, f"{word!r} of {length} bytes in a file")
            total += length
            if total > limit:
                raise EndlessOutputError(self._stream.serial, path, limit)
            left = length
            while left:
                piece = self._reader.some(left)
                if piece is None:
                    self._reader.exactly(left)  # raises: the end came too early
                    break
                sink.write(piece)
                left -= len(piece)
            if advance is not None:
                advance(length)

    def _request(self, word: bytes, path: str) -> None:
        name = path.encode("utf-8", "surrogateescape")
        self._stream.send([wire.SYNC_REQUEST.pack(word, len(name)) + name], self._patience)

    def _record(self, record: struct.Struct, *words: bytes) -> bytes:
        """Read a record that begins with one of `words`."""
        head = self._reader.exactly(wire.SYNC_DATA.size)
        if head[:4] == b"FAIL":
            self._fail("", int.from_bytes(head[4:8], "little"), reading=True)
        if head[:4] not in words:
            raise ProtocolError(self._stream.serial, f"{head[:4]!r} instead of {words[0]!r}")
        return head + self._reader.exactly(record.size - len(head))

    def _answer(self, path: str) -> None:
        word, length = wire.SYNC_DATA.unpack(self._reader.exactly(wire.SYNC_DATA.size))
        if word == b"FAIL":
            self._fail(path, length)
        if word != b"OKAY":
            raise ProtocolError(self._stream.serial, f"{word!r} after a file")

    def _fail(self, path: str, length: int, *, reading: bool = False) -> None:
        if length > _MESSAGE_MAX:
            raise ProtocolError(self._stream.serial, f"an error message of {length} bytes")
        why = self._reader.exactly(length).decode("utf-8", "replace")
        raise file_failure(self._stream.serial, path, why, reading=reading)


def _reason(error: int) -> str:
    return os.strerror(error)
