"""A device without an adb server between: its adbd over TCP, or over USB by libusb."""

from __future__ import annotations

import threading
from collections.abc import Callable

from edgegen.device.transports.adb_connection import AdbConnection, AdbStream, Link
from edgegen.device.transports.adb_keys import Signer, load_keys
from edgegen.device.transports.adb_transport import AdbTransport
from edgegen.device.transports.failures import (
    MissingLibraryError,
    NoDeviceError,
    UnknownSerialError,
)
from edgegen.device.transports.patience import Patience
from edgegen.device.transports.tcp_link import connect_tcp
from edgegen.device.transports.usb_link import connect_usb, list_usb

CONNECT_S = 10.0
AUTHORIZE_S = 30.0  # for the user to look at the phone's screen

Keys = Callable[[], list[Signer]]


class AdbDirect(AdbTransport):
    """An adbd that we speak to ourselves. Connects again by itself after a connection broke.

    Args:
        serial: `HOST:PORT`, or a serial number on USB.
        keys: Returns the keys to authenticate with; by default the user's.
        connect_s: Longest time to connect, in seconds.
        authorize_s: Longest time for the user to accept a new key.
    """

    name = "adb-direct"

    def __init__(
        self,
        serial: str,
        *,
        keys: Keys = load_keys,
        connect_s: float = CONNECT_S,
        authorize_s: float = AUTHORIZE_S,
    ) -> None:
        self.serial = serial
        self._keys, self._connect_s, self._authorize_s = keys, connect_s, authorize_s
        self._lock = threading.Lock()
        self._connection: AdbConnection | None = None
        self.features = self._connected().features

    @property
    def properties(self) -> dict[str, str]:
        """What the device's banner tells, such as `ro.product.model`."""
        return self._connected().properties

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()

    def _open(self, service: str, patience: Patience) -> AdbStream:
        return self._connected().open(service, patience)

    def _connected(self) -> AdbConnection:
        with self._lock:
            if self._connection is None or not self._connection.usable:
                self._connection = self._connect()
                self.features = self._connection.features
            return self._connection

    def _connect(self) -> AdbConnection:
        link = self._link()
        connection = AdbConnection(link, self.serial)
        try:
            patience = Patience(self.serial, timeout_s=self._authorize_s)
            connection.handshake(self._keys, patience)
        except BaseException:
            connection.close()
            raise
        return connection

    def _link(self) -> Link:
        if is_address(self.serial):
            return connect_tcp(self.serial, self._connect_s)
        devices = list_usb()
        for device in devices:
            if device.serial == self.serial:
                return connect_usb(device, self._connect_s)
        unreadable = [device for device in devices if device.serial is None]
        if unreadable:  # one of them may be it, and opening it says what is wrong
            return connect_usb(unreadable[0], self._connect_s)
        if not devices:
            raise NoDeviceError(["USB"])
        raise UnknownSerialError(self.serial, [d.serial for d in devices if d.serial])


def is_address(serial: str) -> bool:
    """Tell whether a serial is `HOST:PORT` (serial numbers on USB hold no colon)."""
    return ":" in serial


def usb_serials() -> list[str] | None:
    """Return the serial numbers of the adb devices on USB, `None` where libusb is missing."""
    try:
        return [device.serial for device in list_usb() if device.serial]
    except MissingLibraryError:
        return None
