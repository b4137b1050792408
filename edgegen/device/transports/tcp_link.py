"""Packets to and from an adbd over TCP.

In the place of adb-shell's own TCP transport, which passes over how much `send` has taken: once a
device reads more slowly than we write, the rest of a packet is missing and the stream is lost.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
from collections.abc import Callable, Sequence
from typing import Any

from edgegen.device.transports.byte_stream import Part
from edgegen.device.transports.failures import (
    ConnectionLostError,
    DeviceTimeoutError,
    UnreachableError,
)
from edgegen.device.transports.patience import Patience

DEFAULT_PORT = 5555
_KEEPALIVE_S = 20  # until a peer that vanished from a silent connection is noticed


class TcpLink:
    """A TCP connection.

    Reading and writing have each a socket object, since timeouts belong to the object: one
    thread may wait for a packet while another sends.
    """

    def __init__(self, connected: socket.socket, serial: str) -> None:
        self._serial = serial
        self._in, self._out = connected, connected.dup()
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux: data that nobody confirms, too
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _KEEPALIVE_S * 1000)
        for option in ("TCP_KEEPIDLE", "TCP_KEEPINTVL"):
            if hasattr(socket, option):
                connected.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), _KEEPALIVE_S // 4)

    def read_into(self, view: memoryview, wait_s: float) -> int:
        """Read what is there, at most the view's length; 0 when nothing came in time.

        Raises:
            ConnectionLostError: the other side is gone.
        """
        self._in.settimeout(wait_s)
        try:
            count = self._in.recv_into(view)
        except (TimeoutError, BlockingIOError):
            return 0
        except OSError as error:
            raise ConnectionLostError(self._serial, error.strerror or str(error)) from error
        if count == 0:
            raise ConnectionLostError(self._serial, "the device closed it")
        return count

    def write(
        self,
        parts: Sequence[Part],
        patience: Patience,
        while_stuck: Callable[[], None] | None = None,
    ) -> None:
        """Write all of a packet, however slowly it is taken.

        Args:
            parts: The packet.
            patience: How long to wait.
            while_stuck: Called whenever nothing is taken for the moment.

        Raises:
            ConnectionLostError: the other side is gone.
        """
        left = [memoryview(part) for part in parts if len(part)]
        while left:
            wait_s = patience.wait_s()
            sent = self._write_some(left, wait_s if while_stuck is None else min(wait_s, 0.01))
            if sent:
                patience.progressed()
            elif while_stuck is not None:
                while_stuck()
            while left and sent >= len(left[0]):
                sent -= len(left.pop(0))
            if sent:
                left[0] = left[0][sent:]

    def _write_some(self, parts: Sequence[memoryview], wait_s: float) -> int:
        self._out.settimeout(wait_s)
        try:
            return self._out.sendmsg(parts[:_IOV_MAX])
        except (TimeoutError, BlockingIOError):
            return 0
        except OSError as error:
            raise ConnectionLostError(self._serial, error.strerror or str(error)) from error

    def close(self) -> None:
        """Close the connection; a thread that waits for it is woken."""
        with contextlib.suppress(OSError):
            self._in.shutdown(socket.SHUT_RDWR)
        self._in.close()
        self._out.close()


_IOV_MAX = 512  # parts of one sendmsg; Linux takes 1024


def connect_tcp(serial: str, patience: Patience) -> TcpLink:
    """Connect to `HOST` or `HOST:PORT`.

    Raises:
        UnreachableError: nothing listens there.
    """
    host, port = split_address(serial)
    try:
        places = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise UnreachableError(serial, getattr(error, "strerror", None) or str(error)) from error
    why = "it has no address"
    for family, kind, protocol, _, address in places:
        connecting = socket.socket(family, kind, protocol)
        try:
            failed = _connect_to(connecting, address, patience)
        except DeviceTimeoutError:
            failed = errno.ETIMEDOUT
        except BaseException:
            connecting.close()
            raise
        if not failed:
            return TcpLink(connecting, serial)
        connecting.close()
        why = os.strerror(failed)
    raise UnreachableError(serial, why)


def _connect_to(connecting: socket.socket, address: Any, patience: Patience) -> int:
    """Connect; return 0, or the number of the error."""
    connecting.setblocking(False)
    failed = connecting.connect_ex(address)
    if failed != errno.EINPROGRESS:
        return failed
    while not select.select([], [connecting], [], patience.wait_s())[1]:
        pass
    return connecting.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)


def split_address(serial: str) -> tuple[str, int]:
    """Return host and port of `HOST`, `HOST:PORT`, `[IPV6]` or `[IPV6]:PORT`.

    Raises:
        UnreachableError: it is no address.
    """
    text = serial.removeprefix("tcp:")
    host, separator, port = text.rpartition(":")
    if not separator or text.endswith("]"):
        host, port = text, str(DEFAULT_PORT)
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise UnreachableError(serial, "this is no HOST:PORT")
    return host.strip("[]"), int(port)
