"""adb over USB, with a cable that keeps USB's rules and ends at the double.

There is no USB device here. What libusb does was read off python-libusb1: a transfer that is longer
than what was asked for is an overflow, and one that times out tells how much had passed.
"""

from __future__ import annotations

import io
import os
import socket

import pytest
from adb_shell.exceptions import UsbReadFailedError, UsbWriteFailedError
from adb_shell.transport.usb_transport import UsbTransport

from edgegen.device.testing import Adbd
from edgegen.device.transports import adb_direct, connect, list_candidates, usb_link, wire
from edgegen.device.transports.failures import (
    ConnectionLostError,
    MissingLibraryError,
    UnknownSerialError,
    UsbPermissionError,
)
from edgegen.device.transports.patience import Patience
from tests.device.doubles import free_port, plain_environment

PACKET = 512


class USBErrorTimeout(Exception):
    received = b""
    transferred = 0


class USBErrorOverflow(Exception):
    pass


class USBErrorNoDevice(Exception):
    pass


class Endpoint:
    def __init__(self, address):
        self.getAddress = lambda: address
        self.getMaxPacketSize = lambda: PACKET


class Cable:
    """In the place of adb-shell's `UsbTransport`.

    Attributes:
        empty: How many empty packets were written.
        pulled_out: Whether the cable is.
    """

    def __init__(self, port, most=10**9):
        self._port, self._most = port, most
        self._setting = self
        self.empty, self.full, self.pulled_out = 0, 0, False

    def iterEndpoints(self):
        return [Endpoint(0x81), Endpoint(0x02)]

    def connect(self, timeout_s):
        self._socket = socket.create_connection(("127.0.0.1", self._port))
        self._transfer = b""  # what the device has ready
        self._payload = 0  # how long the next transfer is, if it is no header

    def close(self):
        self._socket.close()

    def bulk_read(self, count, timeout_s):
        if self.pulled_out:
            raise UsbReadFailedError("gone", USBErrorNoDevice())
        if not self._transfer:
            self._socket.settimeout(timeout_s)
            want = self._payload or wire.HEADER.size
            try:
                self._transfer = self._socket.recv(want, socket.MSG_PEEK)
            except TimeoutError:
                raise UsbReadFailedError("timeout", USBErrorTimeout()) from None
            if not self._transfer:
                raise UsbReadFailedError("gone", USBErrorNoDevice())
            self._socket.settimeout(10)
            self._transfer = self._socket.recv(want, socket.MSG_WAITALL)
            header = not self._payload
            self._payload = wire.HEADER.unpack(self._transfer)[3] if header else 0
        if count < len(self._transfer):
            raise UsbReadFailedError("overflow", USBErrorOverflow())
        taken, self._transfer = self._transfer, b""
        return taken

    def bulk_write(self, data, timeout_s):
        if self.pulled_out:
            raise UsbWriteFailedError("gone", USBErrorNoDevice())
        self.empty += not data
        self.full += bool(data) and len(data) % PACKET == 0
        self._socket.sendall(data[: self._most])
        if len(data) > self._most:
            error = USBErrorTimeout()
            error.transferred = self._most
            raise UsbWriteFailedError("timeout", error)
        return len(data)


@pytest.fixture(params=[10**9, 100_000], ids=["whole", "in pieces"])
def plugged(request, tmp_path, monkeypatch):
    with Adbd(tmp_path) as double:
        cable = Cable(double.port, request.param)
        device = usb_link.UsbDevice("R5", 0x18D1, cable)
        monkeypatch.setattr(adb_direct, "list_usb", lambda: [device])
        with adb_direct.AdbDirect("R5", keys=list) as transport:
            yield transport, cable, double


def test_files_and_commands(plugged, tmp_path):
    transport, _, _ = plugged
    data = os.urandom(3_000_001)
    transport.push(io.BytesIO(data), "/data/local/tmp/x")
    assert (tmp_path / "data/local/tmp/x").read_bytes() == data
    sink = io.BytesIO()
    transport.pull("/data/local/tmp/x", sink)
    assert sink.getvalue() == data
    result = transport.shell("echo out; echo err >&2; exit 7", timeout_s=10)
    assert (result.exit_code, result.stdout, result.stderr) == (7, b"out\n", b"err\n")


def test_a_payload_that_fills_its_last_packet_is_followed_by_an_empty_one(tmp_path, monkeypatch):
    """Adbd reads in blocks, and sees the end of such a payload by nothing else."""
    with Adbd(tmp_path) as double:
        cable = Cable(double.port)
        device = usb_link.UsbDevice("R5", 0x18D1, cable)
        monkeypatch.setattr(adb_direct, "list_usb", lambda: [device])
        with adb_direct.AdbDirect("R5", keys=list) as transport:
            before = cable.empty
            # The record of a file of this length is 512 bytes with its header.
            transport.push(io.BytesIO(bytes(504)), "/data/local/tmp/x")
            assert cable.empty == before + 1
            assert cable.full == cable.empty


def test_a_cable_that_is_pulled_out(plugged):
    transport, cable, _ = plugged
    cable.pulled_out = True
    with pytest.raises(ConnectionLostError) as caught:
        transport.shell("true", timeout_s=10)
    assert str(caught.value) == "lost the connection to R5: USB: USBErrorNoDevice"


def test_a_cable_that_is_pulled_out_before_the_empty_packet():
    class Pulled:
        def bulk_write(self, data, timeout_s):
            if not data:
                raise UsbWriteFailedError("gone", USBErrorNoDevice())
            return len(data)

    link = usb_link.UsbLink(Pulled(), "R5", PACKET)
    with pytest.raises(ConnectionLostError) as caught:
        link.write([bytes(24), bytes(PACKET)], Patience("R5"))
    assert str(caught.value) == "lost the connection to R5: USB: USBErrorNoDevice"


def test_a_libusb_that_does_not_work(monkeypatch):
    def broken():
        raise OSError("LIBUSB_ERROR_OTHER")

    monkeypatch.setattr(UsbTransport, "find_all_adb_devices", broken)
    with pytest.raises(MissingLibraryError) as caught:
        usb_link.list_usb()
    assert str(caught.value) == ("adb over USB needs a libusb that works, which is not installed")
    assert adb_direct.usb_devices() is None


class Locked:
    """A phone whose serial number may not be read before it is opened, if at all.

    Attributes:
        tells: What it then says.
    """

    def __init__(self, tells=None):
        self._tells, self._setting, self.closed = tells, self, False

    def iterEndpoints(self):
        return []

    @property
    def serial_number(self):
        if not self._open:
            raise PermissionError
        return self._tells

    _open = False

    def connect(self, timeout_s):
        if self._tells is None:
            raise USBErrorAccess
        self._open = True

    def close(self):
        self.closed = True


class USBErrorAccess(Exception):
    pass


def test_a_phone_that_may_not_be_opened_is_listed(monkeypatch, tmp_path):
    device = usb_link.UsbDevice(None, 0x18D1, Locked())
    monkeypatch.setattr(adb_direct, "list_usb", lambda: [device])
    environment = plain_environment(tmp_path, free_port())
    [found] = list_candidates(environment=environment)
    assert (found.serial, found.state, found.transport) == (
        "usb-18d1",
        "no permissions",
        "adb-direct",
    )
    with pytest.raises(UsbPermissionError):
        connect(environment=environment)


def test_another_phone_than_the_named_one_is_not_taken(monkeypatch):
    other = Locked("OTHER")
    device = usb_link.UsbDevice(None, 0x18D1, other)
    monkeypatch.setattr(adb_direct, "list_usb", lambda: [device])
    with pytest.raises(UnknownSerialError) as caught:
        adb_direct.AdbDirect("R5", keys=list)
    assert str(caught.value) == "no device 'R5' is connected"
    assert other.closed
