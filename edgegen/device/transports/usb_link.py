"""Packets to and from an adbd over USB, by adb-shell's libusb transport."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edgegen.device.transports.byte_stream import Part
from edgegen.device.transports.failures import (
    ConnectionLostError,
    MissingLibraryError,
    UsbBusyError,
    UsbPermissionError,
)
from edgegen.device.transports.patience import Patience


class UsbLink:
    """A claimed adb interface.

    Args:
        transport: An `adb_shell.transport.usb_transport.UsbTransport`, connected.
        serial: The device, for messages.
        packet_bytes: The largest packet of the endpoint that is written to.
    """

    def __init__(self, transport: Any, serial: str, packet_bytes: int) -> None:
        self._transport, self._serial, self._packet_bytes = transport, serial, packet_bytes

    def read_into(self, view: memoryview, wait_s: float) -> int:
        """Read one transfer, at most the view's length; 0 when nothing came in time.

        Raises:
            ConnectionLostError: the device is gone.
        """
        try:
            # libusb takes a timeout of 0 for none.
            data = self._transport.bulk_read(len(view), max(wait_s, 0.001))
        except Exception as error:
            if _kind(error) == "USBErrorTimeout":
                received = getattr(_cause(error), "received", b"")
                view[: len(received)] = received
                return len(received)
            raise self._lost(error) from error
        view[: len(data)] = data
        return len(data)

    def write(self, parts: Sequence[Part], patience: Patience) -> None:
        """Write header and payload, each as a transfer of its own, as adbd reads them.

        A payload that fills its last packet is followed by an empty one, for otherwise adbd could
        not see its end.

        Raises:
            ConnectionLostError: the device is gone.
        """
        head, *payload = parts
        self._transfer(bytes(head), patience)
        if any(map(len, payload)):
            self._transfer(b"".join(payload), patience)

    def close(self) -> None:
        """Release the interface."""
        with contextlib.suppress(Exception):  # a device that was pulled out cannot be released
            self._transport.close()

    def _transfer(self, data: bytes, patience: Patience) -> None:
        left = data
        while left:
            try:
                sent = self._transport.bulk_write(left, max(patience.wait_s(), 0.001))
            except Exception as error:
                if _kind(error) != "USBErrorTimeout":
                    raise self._lost(error) from error
                sent = getattr(_cause(error), "transferred", 0)
            if sent:
                patience.progressed()
            left = left[sent:]
        if len(data) % self._packet_bytes == 0:
            try:
                self._transport.bulk_write(b"", 1.0)
            except Exception as error:
                raise self._lost(error) from error

    def _lost(self, error: Exception) -> ConnectionLostError:
        return ConnectionLostError(self._serial, f"USB: {_kind(error)}")


@dataclass(frozen=True)
class UsbDevice:
    """An adb interface on USB.

    Attributes:
        serial: Its serial number; `None` where we may not read it.
        vendor: The id of its vendor.
        transport: adb-shell's transport for it, not connected.
    """

    serial: str | None
    vendor: int
    transport: Any

    @property
    def name(self) -> str:
        """What to call it: its serial number, else its vendor."""
        return self.serial or f"usb-{self.vendor:04x}"


def list_usb() -> list[UsbDevice]:
    """Return all adb interfaces.

    Raises:
        MissingLibraryError: adb-shell or libusb is not installed.
    """
    try:
        from adb_shell.transport.usb_transport import (  # type: ignore[import-untyped]
            UsbTransport,
        )
    except (ImportError, OSError) as error:  # OSError: the Python part is there, libusb is not
        raise MissingLibraryError("libusb1", "adb over USB") from error
    try:
        transports = list(UsbTransport.find_all_adb_devices())
    except Exception as error:  # libusb is there and does not work, as in a container without USB
        raise MissingLibraryError("a libusb that works", "adb over USB") from error
    found = []
    for transport in transports:
        device = UsbDevice(None, transport._device.getVendorID(), transport)
        found.append(dataclasses.replace(device, serial=read_serial(device)))
    return found


def read_serial(device: UsbDevice) -> str | None:
    """Return a device's serial number, `None` where we may not even ask."""
    try:
        return str(device.transport.serial_number) or None
    except Exception:
        return None


def connect_usb(device: UsbDevice, timeout_s: float) -> UsbLink:
    """Claim an interface.

    Raises:
        ConnectionLostError: the device is gone.
        UsbBusyError: another program holds it.
        UsbPermissionError: this user may not.
    """
    name = device.serial or f"the USB device of vendor {device.vendor:04x}"
    try:
        device.transport.connect(timeout_s)
    except Exception as error:
        kind = _kind(error)
        if kind == "USBErrorAccess":
            raise UsbPermissionError(name, device.vendor) from error
        if kind == "USBErrorBusy":
            raise UsbBusyError(name) from error
        raise ConnectionLostError(name, f"USB: {kind}") from error
    return UsbLink(device.transport, name, _packet_bytes(device.transport))


def _packet_bytes(transport: Any) -> int:
    for endpoint in transport._setting.iterEndpoints():
        if not endpoint.getAddress() & 0x80:  # towards the device
            return int(endpoint.getMaxPacketSize())
    return 512


def _kind(error: Exception) -> str:
    """Return libusb's name for an error."""
    return type(_cause(error)).__name__


def _cause(error: Exception) -> BaseException:
    """Return libusb's error; adb-shell wraps some, as an attribute or as an argument."""
    for inner in (getattr(error, "usb_error", None), *error.args):
        if isinstance(inner, BaseException):
            return inner
    return error
