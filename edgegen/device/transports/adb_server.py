"""A device through a running adb server, which normally holds USB devices and speaks TLS."""

from __future__ import annotations

import contextlib
import os
import select
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgegen.device.transports.adb_transport import AdbTransport
from edgegen.device.transports.byte_stream import Backlog, ByteStream, Part, Reader
from edgegen.device.transports.failures import (
    CommandFailedError,
    ConnectionLostError,
    NoServerError,
    OfflineError,
    UnauthorizedError,
    UnknownSerialError,
    UsbPermissionError,
)
from edgegen.device.transports.patience import Patience
from edgegen.device.transports.tcp_link import TcpLink
from edgegen.errors import DeviceError

DEFAULT_PORT = 5037
_CONNECT_S = 5.0
_REPLY_MAX = 0xFFFF


@dataclass(frozen=True)
class ListedDevice:
    """A device that the server knows.

    Attributes:
        serial: Its serial number or address.
        state: `device` if it can be used, else why not, in adb's words.
        description: What else the server tells, such as `model:Pixel_9`.
    """

    serial: str
    state: str
    description: str = ""


class AdbServer(AdbTransport):
    """A device that an adb server holds.

    Args:
        serial: As the server lists it.
        address: Where the server listens; by default as adb finds it.
    """

    name = "adb-server"

    def __init__(self, serial: str, *, address: tuple[str, int] | None = None) -> None:
        self.serial = serial
        self._address = server_address() if address is None else address
        require_usable(serial, list_devices(self._address))
        reply = _ask(self._address, f"host-serial:{serial}:features")
        self.features = frozenset(filter(None, reply.strip().split(",")))

    def close(self) -> None:
        """Do nothing: each call has a connection of its own."""

    def _open(self, service: str, patience: Patience) -> ByteStream:
        stream = _connect(self._address, self.serial)
        try:
            stream.request(f"host:transport:{self.serial}", patience)
            try:
                stream.request(service, patience)
            except _Refused as error:
                name = service.partition(":")[0]
                why = f"the device refuses the service ({error.reason})"
                raise CommandFailedError(self.serial, name, None, why) from error
        except _Refused as error:
            stream.close()
            raise self._failure(error.reason) from error
        except BaseException:
            stream.close()
            raise
        return stream

    def _failure(self, reason: str) -> DeviceError:
        try:
            known = [device.serial for device in list_devices(self._address)]
        except DeviceError:
            known = None
        return _server_failure(self.serial, reason, known)


def server_address(environment: Mapping[str, str] | None = None) -> tuple[str, int]:
    """Return where the adb server listens, by the variables that adb itself reads.

    Raises:
        DeviceError: one of them makes no sense.
    """
    environment = os.environ if environment is None else environment
    found = environment.get("ADB_SERVER_SOCKET", "")
    if found.startswith("tcp:"):
        host, _, port = found.removeprefix("tcp:").rpartition(":")
        name = "ADB_SERVER_SOCKET"
    else:
        host = environment.get("ANDROID_ADB_SERVER_ADDRESS", "")
        port = environment.get("ANDROID_ADB_SERVER_PORT") or str(DEFAULT_PORT)
        name = "ANDROID_ADB_SERVER_PORT"
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise DeviceError(f"{name} names the port {port!r}, expected 1 to 65535", f"unset {name}")
    return host or "127.0.0.1", int(port)


def list_devices(address: tuple[str, int]) -> list[ListedDevice]:
    """Return the devices that a server knows.

    Raises:
        NoServerError: there is none.
    """
    devices = []
    for line in _ask(address, "host:devices-l").splitlines():
        serial, _, rest = line.strip().partition(" ")
        rest = rest.strip()
        if rest.startswith("no permissions"):
            state, description = "no permissions", rest
        else:
            state, _, description = rest.partition(" ")
        if serial and state:
            devices.append(ListedDevice(serial, state, description.strip()))
    return devices


def require_usable(serial: str, devices: Sequence[ListedDevice]) -> None:
    """Raise what is wrong with a device, by the state in which a server lists it."""
    states = {device.serial: device.state for device in devices}
    state = states.get(serial)
    if state is None:
        raise UnknownSerialError(serial, list(states))
    if state in ("unauthorized", "authorizing"):
        raise UnauthorizedError(serial)
    if state == "no permissions":
        raise UsbPermissionError(serial)
    if state != "device":
        raise OfflineError(serial, state)


class _Refused(Exception):
    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class _ServerStream(ByteStream):
    """A connection to the server, which becomes one to a service."""

    chunk_bytes = 1024 * 1024

    def __init__(self, connected: socket.socket, serial: str) -> None:
        self.serial = serial
        self._socket = connected
        self._link = TcpLink(connected, serial)
        self._buffer = memoryview(bytearray(self.chunk_bytes))
        self._backlog = Backlog(serial)
        self._ended = False

    def request(self, text: str, patience: Patience) -> None:
        """Ask the server for something."""
        data = text.encode("utf-8", "surrogateescape")
        if len(data) > _REPLY_MAX:
            raise CommandFailedError(self.serial, text[:20], None, "it is too long for adb")
        self.send([b"%04x" % len(data) + data], patience)
        reader = Reader(self._exact(), patience)
        status = reader.exactly(4)
        if status == b"FAIL":
            raise _Refused(_text(reader))
        if status != b"OKAY":
            raise ConnectionLostError(self.serial, f"the adb server answers {status!r}")

    def send(self, parts: Sequence[Part], patience: Patience) -> None:
        self._link.write(parts, patience, self._listen)

    def _listen(self) -> None:
        """Keep what the device has said: the server takes nothing until it is rid of that."""
        if not self._ended and select.select([self._socket], [], [], 0)[0]:
            piece = memoryview(bytearray(65536))
            self._backlog.put(piece[: self._link.read_into(piece, 0.001)])

    def receive(self, patience: Patience) -> memoryview | None:
        if self._backlog:
            return self._backlog.take()
        return self._receive(self._buffer, patience)

    def _receive(self, buffer: memoryview, patience: Patience) -> memoryview | None:
        while not self._ended:
            try:
                count = self._link.read_into(buffer, patience.wait_s())
            except ConnectionLostError:
                self._ended = True  # a service that ends and a device that goes look the same
                break
            if count:
                patience.heard()
                return buffer[:count]
        return None

    def _exact(self) -> ByteStream:
        """Return ourselves, reading no more than asked: what follows is another's."""
        return _ByteByByte(self)

    def pending(self) -> bool:
        return (
            self._ended or bool(self._backlog) or bool(select.select([self._socket], [], [], 0)[0])
        )

    def close(self) -> None:
        self._link.close()


class _ByteByByte(ByteStream):
    chunk_bytes = 1

    def __init__(self, stream: _ServerStream) -> None:
        self.serial, self._stream = stream.serial, stream
        self._buffer = memoryview(bytearray(1))

    def send(self, parts: Sequence[Part], patience: Patience) -> None:
        self._stream.send(parts, patience)

    def receive(self, patience: Patience) -> memoryview | None:
        return self._stream._receive(self._buffer, patience)

    def pending(self) -> bool:
        return self._stream.pending()

    def close(self) -> None:
        self._stream.close()


def _connect(address: tuple[str, int], serial: str) -> _ServerStream:
    try:
        return _ServerStream(socket.create_connection(address, timeout=_CONNECT_S), serial)
    except OSError as error:
        where = f"{address[0]}:{address[1]}"
        raise NoServerError(where, error.strerror or str(error)) from error


def _ask(address: tuple[str, int], question: str) -> str:
    """Ask the server itself; return its answer."""
    patience = Patience("the adb server", timeout_s=_CONNECT_S)
    with contextlib.closing(_connect(address, "the adb server")) as stream:
        try:
            stream.request(question, patience)
        except _Refused as error:
            serial = question.removeprefix("host-serial:").rpartition(":")[0]
            raise _server_failure(serial or "the adb server", error.reason) from error
        return _text(Reader(stream._exact(), patience))


def _text(reader: Reader) -> str:
    length = reader.exactly(4)
    try:
        count = int(length, 16)
    except ValueError:
        raise ConnectionLostError(
            reader.stream.serial, f"the adb server announces {length!r} bytes"
        ) from None
    return reader.exactly(count).decode("utf-8", "replace")


def _server_failure(serial: str, reason: str, known: Sequence[str] | None = None) -> DeviceError:
    """Return the error for what the server says about a device."""
    lowered = reason.lower()
    if "unauthorized" in lowered or "authorizing" in lowered:
        return UnauthorizedError(serial)
    if "not found" in lowered or "no devices" in lowered:
        return UnknownSerialError(serial, known)
    if "permission" in lowered:
        return UsbPermissionError(serial)
    if "offline" in lowered or "connecting" in lowered:
        return OfflineError(serial)
    return ConnectionLostError(serial, f"the adb server says: {reason.strip()}")
