"""One connection to an adbd: the handshake, and many streams over one link."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from edgegen.device.transports import wire
from edgegen.device.transports.adb_keys import Signer
from edgegen.device.transports.byte_stream import Backlog, ByteStream, Part
from edgegen.device.transports.failures import (
    CommandFailedError,
    ConnectionLostError,
    DeviceTimeoutError,
    ProtocolError,
    TlsRequiredError,
    UnauthorizedError,
)
from edgegen.device.transports.patience import Patience
from edgegen.errors import DeviceError

_HOST_FEATURES = ",".join(
    (wire.SHELL_V2, "cmd", wire.STAT_V2, wire.LS_V2, "fixed_push_mkdir", wire.SENDRECV_V2)
)
_TOKEN_BYTES = 20  # what an RSA signature of adb's is made of
_UNACKNOWLEDGED = 1  # packets that the protocol lets a side send before it must wait

_CLOSE_S = 2.0  # for the word that we close a stream to go out

Answer = TypeVar("Answer")


class Link(Protocol):
    """Moves bytes of packets; `TcpLink` or `UsbLink`."""

    def read_into(self, view: memoryview, wait_s: float) -> int:
        """Read at most the view's length; 0 when nothing came in time."""

    def write(self, parts: Sequence[Part], patience: Patience) -> None:
        """Write all parts."""

    def close(self) -> None:
        """Close."""


class AdbConnection:
    """Streams over one link.

    There is no thread of our own: whoever waits for a packet reads, hands packets of other
    streams to those, and lets the next one read when its own has come.

    Attributes:
        serial: The device, for messages.
        properties: What its banner tells, such as `ro.product.model`.
        features: What its adbd can do.
        payload_bytes: The longest payload it takes.
    """

    def __init__(self, link: Link, serial: str) -> None:
        self.serial = serial
        self.properties: dict[str, str] = {}
        self.features: frozenset[str] = frozenset()
        self.payload_bytes = 4096
        self._link = link
        self._version = wire.VERSION
        self._condition = threading.Condition()
        self._writing = threading.Lock()
        self._writer: Patience | None = None
        self._reading = False
        self._broken: DeviceError | None = None
        self._streams: dict[int, AdbStream] = {}
        self._next_id = 1
        # Of the packet that is being read; kept when time runs out in the middle of it.
        self._header = bytearray(wire.HEADER.size)
        self._payload: bytearray | None = None
        self._got = 0

    def handshake(self, keys: Callable[[], list[Signer]], patience: Patience) -> None:
        """Introduce ourselves, and authenticate where the device wants that.

        Args:
            keys: Returns the user's keys; called when the device asks for one.
            patience: How long to wait, for the user's answer on the phone's screen as well.

        Raises:
            TlsRequiredError: the device speaks TLS only.
            UnauthorizedError: it accepts none of the keys.
        """
        self._write(
            wire.CNXN,
            self._version,
            wire.MAX_PAYLOAD,
            [f"host::features={_HOST_FEATURES}".encode() + b"\0"],
            patience,
        )
        signers: list[Signer] | None = None
        offered = False
        while True:
            try:
                command, arg0, arg1, payload = self._next_packet(patience)
            except (ConnectionLostError, DeviceTimeoutError):
                if signers is None:
                    raise
                raise UnauthorizedError(self.serial) from None
            if command == wire.CNXN:
                self._version = min(wire.VERSION, arg0)
                self.payload_bytes = min(wire.MAX_PAYLOAD, max(arg1, 1))
                self.properties, self.features = wire.banner_features(bytes(payload))
                return
            if command == wire.STLS:
                raise TlsRequiredError(self.serial)
            if command != wire.AUTH or arg0 != wire.AUTH_TOKEN:
                raise ProtocolError(self.serial, "an unexpected packet instead of a greeting")
            if len(payload) != _TOKEN_BYTES:
                raise ProtocolError(self.serial, f"a token of {len(payload)} bytes, expected 20")
            if signers is None:
                signers = keys()
                standard = signers[0]
            if signers:
                signature = signers.pop(0).Sign(bytes(payload))
                self._write(wire.AUTH, wire.AUTH_SIGNATURE, 0, [signature], patience)
            elif not offered:
                offered = True  # the phone now asks its user, and says nothing until then
                public = standard.GetPublicKey().rstrip(b"\0\n") + b"\0"
                self._write(wire.AUTH, wire.AUTH_RSAPUBLICKEY, 0, [public], patience)
            else:
                raise UnauthorizedError(self.serial)

    def open(self, service: str, patience: Patience) -> AdbStream:
        """Start a service of the device.

        Raises:
            CommandFailedError: the device refuses it, or its text is longer than a packet.
        """
        text = service.encode("utf-8", "surrogateescape") + b"\0"
        if len(text) > self.payload_bytes:
            why = f"{len(text)} bytes are more than the {self.payload_bytes} that the device takes"
            raise CommandFailedError(self.serial, service.partition(":")[0], None, why)
        with self._condition:
            local_id, self._next_id = self._next_id, self._next_id % 0x7FFFFFFF + 1
            stream = self._streams[local_id] = AdbStream(self, local_id)
        try:
            self._write(wire.OPEN, local_id, 0, [text], patience)
            self.wait(lambda: stream.remote_id is not None or stream.ended or None, patience)
        except BaseException:
            stream.close()
            raise
        if stream.remote_id is None:
            name = service.partition(":")[0]
            raise CommandFailedError(self.serial, name, None, "the device refuses the service")
        return stream

    def wait(self, ready: Callable[[], Answer | None], patience: Patience) -> Answer:
        """Return what `ready` returns once that is not `None`, reading packets meanwhile."""
        while True:
            with self._condition:
                answer = ready()
                if answer is not None:
                    return answer
                if self._broken is not None:
                    raise self._broken
                wait_s = patience.wait_s()
                lead = not self._reading
                if lead:
                    self._reading = True
                else:
                    self._condition.wait(wait_s)
            if lead:
                self._lead(wait_s, patience)

    def write(self, stream: AdbStream, parts: Sequence[Part], patience: Patience) -> None:
        """Send data of a stream."""
        self._write(wire.WRTE, stream.local_id, stream.remote_id or 0, parts, patience)

    def control(self, command: int, stream: AdbStream, patience: Patience) -> None:
        """Send OKAY or CLSE for a stream."""
        self._write(command, stream.local_id, stream.remote_id or 0, (), patience)

    def forget(self, stream: AdbStream) -> None:
        """Drop a stream that is closed."""
        with self._condition:
            self._streams.pop(stream.local_id, None)

    @property
    def usable(self) -> bool:
        """Whether the connection still stands, as far as we know."""
        return self._broken is None

    def close(self) -> None:
        """Close the connection and all its streams."""
        self._break(ConnectionLostError(self.serial, "it was closed"))

    def _lead(self, wait_s: float, patience: Patience) -> None:
        packet = None
        try:
            packet = self._read_packet(wait_s, patience)
        except DeviceError as error:
            self._break(error)
            raise
        except BaseException as error:  # such as Ctrl-C: how much was read is not known
            self._break(ConnectionLostError(self.serial, f"{type(error).__name__} while reading"))
            raise
        finally:
            with self._condition:
                self._reading = False
                if packet is not None:
                    self._dispatch(*packet)
                self._condition.notify_all()

    def _next_packet(self, patience: Patience) -> tuple[int, int, int, memoryview]:
        while True:
            packet = self._read_packet(patience.wait_s(), patience)
            if packet is not None:
                return packet

    def _read_packet(
        self, wait_s: float, patience: Patience
    ) -> tuple[int, int, int, memoryview] | None:
        """Return a packet, or `None` when time ran out; what came of it is kept."""
        if self._payload is None:
            if not self._fill(self._header, wait_s, None):
                return None
            length = self._check_header()
            self._payload = bytearray(length)
            self._got = 0
            if self._is_awaited():
                patience.heard()
        live = patience if self._is_awaited() else None
        if self._payload and not self._fill(self._payload, wait_s, live):
            return None
        payload, self._payload, self._got = self._payload, None, 0
        command, arg0, arg1, _, payload_sum, _ = wire.HEADER.unpack(self._header)
        # CNXN and AUTH come before the version is agreed on.
        checked = self._version < wire.VERSION and command in (wire.WRTE, wire.OPEN)
        if checked and wire.checksum(payload) != payload_sum:
            raise ProtocolError(self.serial, "a packet whose checksum is wrong")
        return command, arg0, arg1, memoryview(payload)

    def _is_awaited(self) -> bool:
        """Whether the packet that has begun is a sign of life: for a stream, and not empty."""
        command, _, arg1, length, _, _ = wire.HEADER.unpack(self._header)
        stream = self._streams.get(arg1)
        if stream is None:
            return False
        return bool(length) if command == wire.WRTE else not stream.may_send

    def _fill(self, buffer: bytearray, wait_s: float, patience: Patience | None) -> bool:
        view = memoryview(buffer)
        while self._got < len(buffer):
            count = self._link.read_into(view[self._got :], wait_s)
            if not count:
                return False
            self._got += count
            if patience is not None:
                patience.heard()
        return True

    def _check_header(self) -> int:
        command, _, _, length, _, magic = wire.HEADER.unpack(self._header)
        if command not in wire.COMMANDS or magic != command ^ 0xFFFFFFFF:
            raise ProtocolError(
                self.serial, f"a packet that begins with {bytes(self._header[:4])!r}"
            )
        if length > wire.MAX_PAYLOAD:
            raise ProtocolError(self.serial, f"a packet of {length} bytes")
        return int(length)

    def _dispatch(self, command: int, arg0: int, arg1: int, payload: memoryview) -> None:
        stream = self._streams.get(arg1)
        if stream is None or (stream.remote_id is not None and arg0 not in (0, stream.remote_id)):
            return  # of a stream that we have closed
        if command == wire.OKAY:
            stream.remote_id = arg0 if stream.remote_id is None else stream.remote_id
            stream.may_send = True
        elif command == wire.CLSE:
            stream.ended = True
        elif command == wire.WRTE:
            stream.inbox.append(payload)
            if len(stream.inbox) > _UNACKNOWLEDGED + 1:
                self._broken = ProtocolError(self.serial, "more data than we said we could take")
                self._link.close()

    def _write(
        self, command: int, arg0: int, arg1: int, parts: Sequence[Part], patience: Patience
    ) -> None:
        length = sum(map(len, parts))
        old = self._version < wire.VERSION or command in (wire.CNXN, wire.AUTH)
        payload_sum = sum(map(wire.checksum, parts)) & 0xFFFFFFFF if old else 0
        head = wire.header(command, arg0, arg1, length, payload_sum)
        while not self._writing.acquire(timeout=patience.wait_s()):
            # Somebody else's packet is on its way. While the device takes it, it is alive.
            if (writer := self._writer) is not None:
                patience.share(writer)
        self._writer = patience
        try:
            if self._broken is not None:
                raise self._broken
            try:
                self._link.write([head, *parts], patience)
            except BaseException as error:
                # Part of a packet may be on its way: nothing after it would be understood.
                why = f"stopped while sending ({type(error).__name__})"
                lost = error if isinstance(error, ConnectionLostError) else None
                self._break(lost or ConnectionLostError(self.serial, why))
                raise
        finally:
            self._writer = None
            self._writing.release()

    def _break(self, error: DeviceError) -> None:
        if self._broken is None:
            self._broken = error
        self._link.close()
        with self._condition:
            self._condition.notify_all()


class AdbStream(ByteStream):
    """One service over an `AdbConnection`."""

    def __init__(self, connection: AdbConnection, local_id: int) -> None:
        self.serial = connection.serial
        self.chunk_bytes = connection.payload_bytes
        self.local_id = local_id
        self.remote_id: int | None = None
        self.may_send = False
        self.ended = False
        self.inbox: deque[memoryview] = deque()
        self._connection = connection
        self._backlog = Backlog(connection.serial)
        self._closed = False

    def send(self, parts: Sequence[Part], patience: Patience) -> None:
        """Send, once the device has confirmed what was sent before."""
        while not self.may_send and not self.ended:
            self._connection.wait(
                lambda: self.may_send or self.ended or bool(self.inbox) or None, patience
            )
            while self.inbox and not self.may_send:
                self._backlog.put(self._take(patience))
        if self.ended:
            raise ConnectionLostError(self.serial, "the device ended the transfer")
        self.may_send = False
        self._connection.write(self, parts, patience)

    def receive(self, patience: Patience) -> memoryview | None:
        """Return the next packet's payload, `None` at the end."""
        if self._backlog:
            return self._backlog.take()
        self._connection.wait(lambda: bool(self.inbox) or self.ended or None, patience)
        return self._take(patience) if self.inbox else None

    def _take(self, patience: Patience) -> memoryview:
        payload = self.inbox.popleft()
        if not self.ended:
            self._connection.control(wire.OKAY, self, patience.aside())
        return payload

    def pending(self) -> bool:
        """Tell whether a packet or the end has been read already."""
        return bool(self._backlog or self.inbox) or self.ended

    def close(self) -> None:
        """Close this side."""
        if self._closed:
            return
        self._closed = True
        self._connection.forget(self)
        # Before it is open the device has no number for it yet; it ends by itself.
        with contextlib.suppress(DeviceError):
            if self.remote_id is not None and self._connection.usable:
                patience = Patience(self.serial, timeout_s=_CLOSE_S)
                self._connection.control(wire.CLSE, self, patience)
