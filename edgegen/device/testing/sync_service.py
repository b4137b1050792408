"""The device's `sync:` service: stat, list, send and receive, versions 1 and 2."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import struct
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from edgegen.device.testing.device_stream import DeviceStream
from edgegen.device.testing.faults import Broken
from edgegen.device.transports import wire

if TYPE_CHECKING:
    from edgegen.device.testing.adbd import Adbd

_RECORDS = 15  # of 64 KiB, which with their headers fit a packet of 1 MiB


class SyncService:
    """Answers requests until the host has no more. Paths outside the root are refused."""

    def __init__(self, device: Adbd) -> None:
        self._device = device

    def serve(self, stream: DeviceStream) -> None:
        """Serve one stream."""
        answers: dict[bytes, Callable[[DeviceStream, str], None]] = {
            b"STAT": self._stat_v1,
            b"STA2": self._stat_v2,
            b"LST2": self._lstat_v2,
            b"LIST": self._list_v1,
            b"LIS2": self._list_v2,
            b"SEND": self._send_v1,
            b"SND2": self._send_v2,
            b"RECV": self._receive_v1,
            b"RCV2": self._receive_v2,
        }
        with contextlib.suppress(Broken):
            while True:
                word, length = wire.SYNC_REQUEST.unpack(stream.exactly(wire.SYNC_REQUEST.size))
                if word == b"QUIT":
                    return
                if length > wire.SYNC_PATH_MAX:
                    _fail(stream, "path too long")
                    return
                path = stream.exactly(length).decode("utf-8", "surrogateescape")
                if word not in answers:
                    _fail(stream, f"unknown command {word!r}")
                    return
                answers[word](stream, path)

    def _stat_v1(self, stream: DeviceStream, path: str) -> None:
        try:
            found = os.lstat(self._inside(path))
            fields = (found.st_mode, found.st_size & 0xFFFFFFFF, int(found.st_mtime))
        except OSError:
            fields = (0, 0, 0)
        stream.write([wire.STAT_V1.pack(b"STAT", *fields)])

    def _stat_v2(self, stream: DeviceStream, path: str) -> None:
        stream.write([self._stat(wire.STAT_V2_REPLY, b"STA2", path, os.stat)])

    def _lstat_v2(self, stream: DeviceStream, path: str) -> None:
        stream.write([self._stat(wire.STAT_V2_REPLY, b"LST2", path, os.lstat)])

    def _stat(
        self,
        record: struct.Struct,
        word: bytes,
        path: str,
        look: Callable[[str], os.stat_result],
        *more: int,
    ) -> bytes:
        try:
            found = look(self._inside(path, follow=look is os.stat))
        except OSError as error:
            return record.pack(word, error.errno or errno.EIO, *(0,) * 10, *more)
        return record.pack(
            word,
            0,
            found.st_dev,
            found.st_ino,
            found.st_mode,
            found.st_nlink,
            found.st_uid,
            found.st_gid,
            found.st_size,
            int(found.st_atime),
            int(found.st_mtime),
            int(found.st_ctime),
            *more,
        )

    def _list_v1(self, stream: DeviceStream, path: str) -> None:
        for name in self._names(path):
            with contextlib.suppress(OSError):
                found = os.lstat(self._inside(f"{path}/{name}"))
                encoded = os.fsencode(name)
                fields = (found.st_mode, found.st_size & 0xFFFFFFFF, int(found.st_mtime))
                stream.write([wire.DENT_V1.pack(b"DENT", *fields, len(encoded)) + encoded])
        stream.write([wire.DENT_V1.pack(b"DONE", 0, 0, 0, 0)])

    def _list_v2(self, stream: DeviceStream, path: str) -> None:
        for name in self._names(path):
            encoded = os.fsencode(name)
            record = self._stat(wire.DENT_V2, b"DNT2", f"{path}/{name}", os.lstat, len(encoded))
            stream.write([record + encoded])
        stream.write([wire.DENT_V2.pack(b"DONE", *(0,) * 12)])

    def _names(self, path: str) -> list[str]:
        if self._device.listed_names is not None:
            return self._device.listed_names
        try:
            folder = Path(self._inside(path, follow=True))
            return [".", "..", *(entry.name for entry in folder.iterdir())]
        except OSError:
            return []

    def _send_v1(self, stream: DeviceStream, spec: str) -> None:
        path, _, mode = spec.rpartition(",")
        self._send(stream, path, int(mode))

    def _send_v2(self, stream: DeviceStream, path: str) -> None:
        word, mode, flags = wire.SEND_V2.unpack(stream.exactly(wire.SEND_V2.size))
        if word != b"SND2" or flags:
            _fail(stream, f"unknown flags: {flags}")
            raise Broken
        self._send(stream, path, mode)

    def _send(self, stream: DeviceStream, path: str, mode: int) -> None:
        """Write a file. As in adbd a file whose transfer fails is removed."""
        target: str | None = None
        try:
            target = self._inside(path)
            with contextlib.suppress(FileNotFoundError):
                if not stat.S_ISDIR(os.lstat(target).st_mode):
                    os.unlink(target)  # noqa: PTH108
            Path(target).parent.mkdir(parents=True, exist_ok=True)
            permissions = mode & 0o777
            permissions |= (permissions >> 3) & 0o070 | (permissions >> 6) & 0o007
            handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, permissions)
        except OSError as error:
            self._discard(stream, f"couldn't create file: {error.strerror}")
            return
        try:
            with os.fdopen(handle, "wb", buffering=0) as sink:
                os.fchmod(sink.fileno(), permissions)
                mtime = self._receive_into(stream, sink.fileno())
        except OSError as error:
            os.unlink(target)  # noqa: PTH108
            self._discard(stream, f"write failed: {error.strerror}")
            return
        except BaseException:
            os.unlink(target)  # noqa: PTH108
            raise
        os.utime(target, (mtime, mtime))
        stream.write([wire.SYNC_DATA.pack(b"OKAY", 0)])

    def _receive_into(self, stream: DeviceStream, handle: int) -> int:
        """Write DATA records to a file until DONE; return the time that it carries."""
        while True:
            word, length = wire.SYNC_DATA.unpack(stream.exactly(wire.SYNC_DATA.size))
            if word == b"DONE":
                return int(length)
            if word != b"DATA" or length > wire.SYNC_DATA_MAX:
                _fail(stream, "invalid data message")
                raise Broken
            if not self._device.faults.take_disk(length):
                self._skip(stream, length)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            while length:
                piece = stream.some(length)
                if piece is None:
                    raise Broken
                length -= len(piece)
                while piece:
                    piece = piece[os.write(handle, piece) :]

    def _discard(self, stream: DeviceStream, why: str) -> None:
        """Say what is wrong, then read on to the end, as adbd does for old hosts."""
        _fail(stream, why)
        while True:
            word, length = wire.SYNC_DATA.unpack(stream.exactly(wire.SYNC_DATA.size))
            if word != b"DATA":
                return
            self._skip(stream, length)

    def _skip(self, stream: DeviceStream, length: int) -> None:
        while length:
            piece = stream.some(length)
            if piece is None:
                raise Broken
            length -= len(piece)

    def _receive_v1(self, stream: DeviceStream, path: str) -> None:
        try:
            with open(self._inside(path, follow=True), "rb", buffering=0) as source:  # noqa: PTH123
                self._send_file(stream, source.fileno())
        except OSError as error:
            _fail(stream, f"open failed: {error.strerror}")

    def _receive_v2(self, stream: DeviceStream, path: str) -> None:
        _, flags = wire.RECV_V2.unpack(stream.exactly(wire.RECV_V2.size))
        if flags:
            _fail(stream, f"unknown flags: {flags}")
            raise Broken
        self._receive_v1(stream, path)

    def _send_file(self, stream: DeviceStream, handle: int) -> None:
        size = wire.SYNC_DATA_MAX
        records = max(1, min(_RECORDS, stream.chunk_bytes // (size + wire.SYNC_DATA.size)))
        if stream.chunk_bytes < size + wire.SYNC_DATA.size:
            size = stream.chunk_bytes - wire.SYNC_DATA.size
        buffer = memoryview(bytearray(size * records))
        while count := os.readv(handle, [buffer]):
            parts: list[bytes | memoryview] = []
            for begin in range(0, count, size):
                piece = buffer[begin : min(begin + size, count)]
                parts += [wire.SYNC_DATA.pack(b"DATA", len(piece)), piece]
            stream.write(parts)
        stream.write([wire.SYNC_DATA.pack(b"DONE", 0)])

    def _inside(self, path: str, *, follow: bool = False) -> str:
        """Return a path of this machine for one of the device.

        Raises:
            OSError: it is not below the root.
        """
        root = os.path.realpath(self._device.root)
        joined = os.path.join(root, self._device.here(path))  # noqa: PTH118
        if follow or joined.endswith(("/", "/.", "/..")):
            resolved = os.path.realpath(joined)
        else:
            folder, name = os.path.split(joined)
            resolved = os.path.join(os.path.realpath(folder), name)  # noqa: PTH118
        if resolved != root and not resolved.startswith(root + "/"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return resolved


def _fail(stream: DeviceStream, why: str) -> None:
    message = why.encode()
    stream.write([wire.SYNC_DATA.pack(b"FAIL", len(message)) + message])
