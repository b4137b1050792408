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
from edgegen.device.transports.usb_link import UsbDevice, connect_usb, list_usb, read_serial

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
        cancel: Stops the first connecting.
    """

    name = "adb-direct"

    def __init__(
        self,
        serial: str,
        *,
        keys: Keys = load_keys,
        connect_s: float = CONNECT_S,
        authorize_s: float = AUTHORIZE_S,
        cancel: threading.Event | None = None,
    ) -> None:
        self.serial = serial
        self._keys, self._connect_s, self._authorize_s = keys, connect_s, authorize_s
        self._lock = threading.Lock()
        self._connection: AdbConnection | None = None
        self.features = self._connected(Patience(serial, cancel=cancel)).features

    @property
    def properties(self) -> dict[str, str]:
        """What the device's banner tells, such as `ro.product.model`."""
        return self._connected(Patience(self.serial)).properties

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()

    def _open(self, service: str, patience: Patience) -> AdbStream:
        return self._connected(patience).open(service, patience)

    def _connected(self, patience: Patience) -> AdbConnection:
        while not self._lock.acquire(timeout=patience.wait_s()):
            pass  # another thread connects
        try:
            if self._connection is None or not self._connection.usable:
                self._connection = self._connect(patience)
                self.features = self._connection.features
            return self._connection
        finally:
            self._lock.release()

    def _connect(self, patience: Patience) -> AdbConnection:
        link = self._link(patience)
        connection = AdbConnection(link, self.serial)
        try:
            connection.handshake(self._keys, patience.within(self._authorize_s))
        except BaseException:
            connection.close()
            raise
        return connection

    def _link(self, patience: Patience) -> Link:
        if is_address(self.serial):
            return connect_tcp(self.serial, patience.within(self._connect_s))
        devices = list_usb()
        for device in devices:
            if self.serial in (device.serial, device.name):
                return connect_usb(device, self._connect_s)
        known = [device.serial for device in devices if device.serial]
        for device in devices:
            if device.serial is None:  # it may be the one; opening it tells, or says what is wrong
                link = connect_usb(device, self._connect_s)
                if (serial := read_serial(device)) == self.serial:
                    return link
                link.close()
                known.append(serial or device.name)
        if not devices:
            raise NoDeviceError(["USB"])
        raise UnknownSerialError(self.serial, known)


def is_address(serial: str) -> bool:
    """Tell whether a serial is `HOST:PORT` (serial numbers on USB hold no colon)."""
    return ":" in serial


def usb_devices() -> list[UsbDevice] | None:
    """Return the adb devices on USB, `None` where libusb is missing or does not work."""
    try:
        return list_usb()
    except MissingLibraryError:
        return None
