"""One host that is connected to the device."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgegen.device.testing.authorization import TOKEN_BYTES
from edgegen.device.testing.device_stream import DeviceStream
from edgegen.device.testing.faults import Broken
from edgegen.device.testing.shell_service import ShellService
from edgegen.device.testing.sync_service import SyncService
from edgegen.device.transports import wire
from edgegen.device.transports.byte_stream import Part

if TYPE_CHECKING:
    from edgegen.device.testing.adbd import Adbd

_SPARE_BUFFERS = 4


class Connection:
    """Reads packets in a thread of its own; each service runs in another.

    Args:
        device: The device.
        connected: The socket.
    """

    def __init__(self, device: Adbd, connected: socket.socket) -> None:
        self.payload_bytes = 4096
        self._device, self._socket = device, connected
        self._faults = device.faults
        self._version = wire.VERSION
        self._token = b""
        self._sending = threading.Lock()
        self._streams: dict[int, DeviceStream] = {}
        self._next_id = 1
        self._online = False
        self._spare: list[bytearray] = []
        self._services: list[threading.Thread] = []
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def serve(self) -> None:
        """Answer until the connection ends."""
        try:
            while True:
                self._handle(*self._read_packet())
        except (Broken, OSError, ValueError, struct.error):
            pass
        finally:
            self.drop()
            for stream in list(self._streams.values()):
                stream.end()
            for service in self._services:
                service.join()
            self._socket.close()

    def drop(self) -> None:
        """Break the connection, as a cable that falls out does."""
        with contextlib.suppress(OSError):
            # Without lingering, the host sees a reset and no orderly end.
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._faults.release()

    def send(self, command: int, arg0: int, arg1: int, parts: Sequence[Part] = ()) -> None:
        """Send a packet.

        Raises:
            Broken: the connection is gone.
        """
        length = sum(map(len, parts))
        old = self._version < wire.VERSION or command in (wire.CNXN, wire.AUTH)
        payload_sum = sum(map(wire.checksum, parts)) & 0xFFFFFFFF if old else 0
        head = wire.header(command, arg0, arg1, length, payload_sum)
        left = [memoryview(part) for part in (head, *parts) if len(part)]
        with self._sending:
            allowed = self._faults.may_send(length + len(head))
            left = _first(left, allowed)
            try:
                while left:
                    count = self._socket.sendmsg(left[:512])
                    while left and count >= len(left[0]):
                        count -= len(left.pop(0))
                    if count:
                        left[0] = left[0][count:]
                self._faults.on_sent()
            except (OSError, Broken) as error:
                self.drop()
                raise Broken from error

    def recycle(self, payload: memoryview) -> None:
        """Take back the buffer of a payload that has been read."""
        whole = payload.obj
        payload.release()
        if isinstance(whole, bytearray) and len(self._spare) < _SPARE_BUFFERS:
            self._spare.append(whole)

    def _read_packet(self) -> tuple[int, int, int, memoryview]:
        head = bytearray(wire.HEADER.size)
        self._fill(memoryview(head))
        command, arg0, arg1, length, payload_sum, magic = wire.HEADER.unpack(head)
        if magic != command ^ 0xFFFFFFFF or length > self._device.payload_bytes:
            raise Broken  # adbd gives up a connection whose packets make no sense
        whole = self._spare.pop() if self._spare else bytearray(wire.MAX_PAYLOAD)
        payload = memoryview(whole)[:length]
        self._fill(payload)
        checked = self._version < wire.VERSION and command == wire.WRTE
        if checked and wire.checksum(payload) != payload_sum:
            raise Broken
        return command, arg0, arg1, payload

    def _fill(self, view: memoryview) -> None:
        while view:
            count = self._socket.recv_into(view[: self._faults.may_receive(len(view))])
            if not count:
                raise Broken
            self._faults.on_received(view[:count])
            view = view[count:]

    def _handle(self, command: int, arg0: int, arg1: int, payload: memoryview) -> None:
        if command == wire.CNXN:
            self._version = min(self._device.version, arg0)
            self.payload_bytes = min(self._device.payload_bytes, arg1)
            self._greet(self._device.authorization.required)
        elif command == wire.AUTH:
            self._authenticate(arg0, bytes(payload))
        elif not self._online:
            raise Broken
        elif command == wire.OPEN:
            self._open(arg0, bytes(payload))
        elif command in (wire.OKAY, wire.WRTE, wire.CLSE):
            self._pass_on(command, arg0, arg1, payload)

    def _greet(self, ask: bool) -> None:
        if ask:
            self._token = os.urandom(TOKEN_BYTES)
            self.send(wire.AUTH, wire.AUTH_TOKEN, 0, [self._token])
            return
        self._online = True
        banner = self._device.banner.encode() + b"\0"
        self.send(wire.CNXN, self._device.version, self._device.payload_bytes, [banner])

    def _authenticate(self, kind: int, payload: bytes) -> None:
        if kind == wire.AUTH_SIGNATURE:
            self._greet(not self._device.authorization.verify(self._token, payload))
        elif kind == wire.AUTH_RSAPUBLICKEY and self._device.authorization.offer(payload):
            self._greet(False)
        # Else the user is being asked, and the host waits.

    def _open(self, remote_id: int, name: bytes) -> None:
        service = name.rstrip(b"\0").decode("utf-8", "surrogateescape")
        serve = self._service(service)
        if serve is None:
            self.send(wire.CLSE, 0, remote_id)
            return
        local_id, self._next_id = self._next_id, self._next_id + 1
        stream = self._streams[local_id] = DeviceStream(self, local_id, remote_id)
        self.send(wire.OKAY, local_id, remote_id)
        thread = threading.Thread(
            target=self._serve, args=(serve, stream), name=f"adbd-{service[:20]}", daemon=True
        )
        self._services = [other for other in self._services if other.is_alive()] + [thread]
        thread.start()

    def _service(self, service: str) -> SyncService | ShellService | None:
        name, _, argument = service.partition(":")
        name, *options = name.split(",")
        if name in self._device.refused_services:
            return None
        if name == "sync":
            return SyncService(self._device)
        if name in ("shell", "exec"):
            framed = name == "shell" and "v2" in options
            return ShellService(self._device, argument, framed=framed, terminal=name == "shell")
        if name == "reboot":
            return ShellService(self._device, "", framed=False, terminal=False, reboots=True)
        return None

    def _serve(self, service: SyncService | ShellService, stream: DeviceStream) -> None:
        with contextlib.suppress(Broken, OSError):
            service.serve(stream)
        with contextlib.suppress(Broken):
            if self._streams.pop(stream.local_id, None) is not None:
                self.send(wire.CLSE, stream.local_id, stream.remote_id)

    def _pass_on(self, command: int, arg0: int, arg1: int, payload: memoryview) -> None:
        stream = self._streams.get(arg1)
        if stream is None or stream.remote_id != arg0:
            return
        if command == wire.OKAY:
            stream.acknowledge()
        elif command == wire.WRTE:
            stream.deliver(payload)
        else:
            self._streams.pop(arg1, None)
            stream.end()
            self.send(wire.CLSE, 0, arg0)  # some hosts wait for it


def _first(parts: list[memoryview], count: int) -> list[memoryview]:
    """Return the first `count` bytes of some parts."""
    taken = []
    for part in parts:
        if count <= 0:
            break
        taken.append(part[:count])
        count -= len(part)
    return taken
