"""Which device, which way to it, and what is wrong where there is none."""

from __future__ import annotations

import threading

import pytest

from edgegen.device.testing import Adbd
from edgegen.device.transports import (
    adb_direct,
    adb_server,
    connect,
    failures,
    list_candidates,
    usb_link,
    wire,
)
from edgegen.device.transports.adb_keys import (
    load_keys,
)
from edgegen.device.transports.adb_server import ListedDevice, require_usable, server_address
from edgegen.errors import DeviceError
from tests.device.doubles import free_port, plain_environment, wait_for_state
from tests.device.test_hostile_device import packet, scripted


@pytest.fixture
def nobody(home):
    """An environment where no adb server runs."""
    return plain_environment(home, free_port())


@pytest.fixture
def doubles(tmp_path):
    made = []

    def make(**options):
        root = tmp_path / f"device-{len(made)}"
        root.mkdir()
        made.append(Adbd(root, **options))
        return made[-1]

    yield make
    for double in made:
        double.close()


@pytest.fixture
def no_usb(monkeypatch):
    monkeypatch.setattr(adb_direct, "list_usb", list)


def failed(call, kind):
    with pytest.raises(kind) as caught:
        call()
    assert type(caught.value) is kind
    return str(caught.value), caught.value.hint


def test_this_machine_by_name_and_by_transport(nobody):
    assert connect("local", environment=nobody).reason == "named so"
    assert connect(transport="local", environment=nobody).reason == "asked for"


def test_an_address_without_a_server_is_spoken_to_directly(doubles, nobody):
    with connect(doubles().serial, environment=nobody) as transport:
        assert transport.name == "adb-direct"
        assert transport.reason == "an address that no adb server holds"


def test_android_serial_is_honoured(doubles, nobody):
    double = doubles()
    with connect(environment={**nobody, "ANDROID_SERIAL": double.serial}) as transport:
        assert transport.serial == double.serial


def test_a_named_device_goes_before_android_serial(doubles, nobody):
    first, second = doubles(), doubles()
    environment = {**nobody, "ANDROID_SERIAL": first.serial}
    with connect(second.serial, environment=environment) as transport:
        assert transport.serial == second.serial


def test_a_server_that_holds_the_device_is_used(server, doubles):
    double = doubles(authorized_keys=[], accept_new_keys=True)
    server.attach(double)
    port = server.environment["ANDROID_ADB_SERVER_PORT"]
    reason = f"the adb server at 127.0.0.1:{port} holds it"
    for serial in (None, double.serial):
        with connect(serial, environment=server.environment) as transport:
            assert (transport.name, transport.reason) == ("adb-server", reason)
    with connect(
        double.serial, transport="adb-direct", environment=server.environment
    ) as transport:
        assert (transport.name, transport.reason) == ("adb-direct", "asked for")
    server("disconnect", double.serial)


def test_several_devices_are_listed(server, doubles):
    pair = [doubles(authorized_keys=[], accept_new_keys=True) for _ in range(2)]
    for double in pair:
        server.attach(double)
    serials = [c.serial for c in list_candidates(environment=server.environment)]
    assert sorted(serials) == sorted(double.serial for double in pair)
    message, hint = failed(
        lambda: connect(environment=server.environment), failures.SeveralDevicesError
    )
    assert message == f"2 devices are connected: {serials[0]}, {serials[1]}"
    assert hint == f"name one: --device {serials[0]}, or export ANDROID_SERIAL={serials[0]}"
    message, hint = failed(
        lambda: connect("127.0.0.1x", environment=server.environment),
        failures.UnknownSerialError,
    )
    assert message == "no device '127.0.0.1x' is connected"
    assert hint.startswith("did you mean '127.0.0.1:")
    for double in pair:
        server("disconnect", double.serial)


def test_no_device(nobody, no_usb):
    port = nobody["ANDROID_ADB_SERVER_PORT"]
    message, hint = failed(lambda: connect(environment=nobody), failures.NoDeviceError)
    assert message == f"no device found; looked at the adb server at 127.0.0.1:{port}, USB"
    assert hint == (
        "plug in a phone with USB debugging switched on, or name one: --device HOST:5555 for adb "
        "over a network, --device local for this machine"
    )
    message, _ = failed(
        lambda: connect(environment=nobody, transport="adb-direct"), failures.NoDeviceError
    )
    assert message == "no device found; looked at USB"


def test_no_device_and_no_look_at_usb(nobody, monkeypatch):
    def missing():
        raise failures.MissingLibraryError("libusb1", "adb over USB")

    monkeypatch.setattr(adb_direct, "list_usb", missing)
    port = nobody["ANDROID_ADB_SERVER_PORT"]
    message, _ = failed(lambda: connect(environment=nobody), failures.NoDeviceError)
    assert message == (
        f"no device found; looked at the adb server at 127.0.0.1:{port}, not USB, for libusb1 is "
        "not installed"
    )


def test_no_server(nobody):
    port = nobody["ANDROID_ADB_SERVER_PORT"]
    message, hint = failed(
        lambda: connect(environment=nobody, transport="adb-server"), failures.NoServerError
    )
    assert message == f"no adb server answers at 127.0.0.1:{port}: Connection refused"
    assert hint == ("start one with 'adb start-server', or go without it: --transport adb-direct")


def test_nothing_listens(nobody):
    serial = f"127.0.0.1:{free_port()}"
    message, hint = failed(lambda: connect(serial, environment=nobody), failures.UnreachableError)
    assert message == f"cannot connect to {serial}: Connection refused"
    assert hint == (
        "check the address, and that the device listens there: adb tcpip 5555 over USB first"
    )


@pytest.mark.parametrize("serial", ["host:99999", "host:", ":5555", "host:x"])
def test_addresses_that_are_none(nobody, serial):
    message, _ = failed(lambda: connect(serial, environment=nobody), failures.UnreachableError)
    assert message == f"cannot connect to {serial}: this is no HOST:PORT"


def test_an_unknown_transport(nobody):
    message, hint = failed(lambda: connect(transport="adb", environment=nobody), DeviceError)
    assert message == "unknown transport 'adb'"
    assert hint == "known: adb-direct, adb-server, auto, local"


UNAUTHORIZED = (
    "look at the phone's screen and accept 'Allow USB debugging?', then run the command again; if "
    "nothing is shown, unplug it and plug it in again"
)


def test_unauthorized_directly(doubles, home):
    double = doubles(authorized_keys=[])
    keys = lambda: load_keys({"HOME": str(home)})  # noqa: E731
    message, hint = failed(
        lambda: adb_direct.AdbDirect(double.serial, keys=keys, authorize_s=0.5),
        failures.UnauthorizedError,
    )
    assert message == f"{double.serial} has not authorized this computer"
    assert hint == UNAUTHORIZED
    assert double.authorization.waiting, "the phone was asked"


def test_the_user_may_accept_while_we_wait(doubles, home):
    double = doubles(authorized_keys=[])

    def accept() -> None:
        while not double.authorization.waiting:
            pass
        double.authorization.accept()
        double.authorization.accept_new = True

    thread = threading.Thread(target=accept)
    thread.start()
    keys = lambda: load_keys({"HOME": str(home)})  # noqa: E731
    with pytest.raises(failures.UnauthorizedError):
        adb_direct.AdbDirect(double.serial, keys=keys, authorize_s=0.5)
    thread.join()
    with adb_direct.AdbDirect(double.serial, keys=keys, authorize_s=5) as transport:
        assert transport.shell("echo in").text == "in\n"


def test_revoked_while_connected(doubles, home, nobody):
    double = doubles(authorized_keys=[], accept_new_keys=True)
    with connect(double.serial, environment=nobody) as transport:
        assert transport.shell("echo in").text == "in\n"
        double.revoke()
        transport._authorize_s = 0.5
        with pytest.raises(DeviceError):
            transport.shell("true")
        message, _ = failed(lambda: transport.shell("true"), failures.UnauthorizedError)
        assert message == f"{double.serial} has not authorized this computer"


def test_unauthorized_at_the_server(server, doubles):
    double = doubles(authorized_keys=[])
    server("connect", double.serial)
    assert wait_for_state(server, double.serial, "unauthorized")
    message, hint = failed(
        lambda: connect(double.serial, environment=server.environment), failures.UnauthorizedError
    )
    assert message == f"{double.serial} has not authorized this computer"
    assert hint == UNAUTHORIZED
    server("disconnect", double.serial)


@pytest.mark.parametrize("state", ["offline", "recovery", "connecting", "bootloader"])
def test_a_device_that_is_not_ready(state):
    message, hint = failed(
        lambda: require_usable("R5", [ListedDevice("R5", state)]), failures.OfflineError
    )
    assert message == f"R5 is {state}"
    assert hint == (
        "wake the phone, or unplug it and plug it in again; over a network: adb reconnect R5"
    )


def test_no_permission_at_the_server():
    devices = [ListedDevice("R5", "no permissions", "(user not in plugdev group)")]
    message, hint = failed(lambda: require_usable("R5", devices), failures.UsbPermissionError)
    assert message == "no permission to open R5 on USB"
    assert 'SUBSYSTEM=="usb", ENV{ID_USB_INTERFACES}=="*:ff4201:*", MODE="0660"' in hint


class FakeUsb:
    """What adb-shell's transport raises when libusb refuses; there is no USB device here."""

    def __init__(self, error: str, serial: str | None = "R5") -> None:
        self.device = usb_link.UsbDevice(serial, 0x18D1, self)
        self._error = type(error, (Exception,), {})

    def connect(self, timeout_s: float) -> None:
        raise self._error


@pytest.mark.parametrize(
    ("error", "kind", "message", "hint"),
    [
        (
            "USBErrorAccess",
            failures.UsbPermissionError,
            "no permission to open R5 on USB",
            'put the line SUBSYSTEM=="usb", ATTR{idVendor}=="18d1", MODE="0660", GROUP="plugdev", '
            'TAG+="uaccess" into /etc/udev/rules.d/51-android.rules, run \'sudo udevadm control '
            "--reload && sudo udevadm trigger', and plug the phone in again",
        ),
        (
            "USBErrorBusy",
            failures.UsbBusyError,
            "another program holds R5 on USB, most likely the adb server",
            "go through it: --transport adb-server; or stop it first: adb kill-server",
        ),
        (
            "USBErrorNoDevice",
            failures.ConnectionLostError,
            "lost the connection to R5: USB: USBErrorNoDevice",
            "check the cable or the network and run the command again; a push goes on where it "
            "stopped",
        ),
    ],
)
def test_what_libusb_refuses(nobody, monkeypatch, error, kind, message, hint):
    monkeypatch.setattr(adb_direct, "list_usb", lambda: [FakeUsb(error).device])
    assert failed(lambda: connect("R5", environment=nobody), kind) == (message, hint)


def test_a_wrong_serial_on_usb(nobody, monkeypatch):
    monkeypatch.setattr(adb_direct, "list_usb", lambda: [FakeUsb("USBErrorBusy", "R58M1Y").device])
    message, hint = failed(
        lambda: connect("R58M1X", environment=nobody), failures.UnknownSerialError
    )
    assert message == "no device 'R58M1X' is connected"
    assert hint == "did you mean 'R58M1Y'? (known: R58M1Y)"


def test_without_libusb_that_is_said(nobody, monkeypatch):
    def missing():
        raise failures.MissingLibraryError("libusb1", "adb over USB")

    monkeypatch.setattr(adb_direct, "list_usb", missing)
    message, hint = failed(
        lambda: connect("R5", transport="adb-direct", environment=nobody),
        failures.MissingLibraryError,
    )
    assert message == "adb over USB needs libusb1, which is not installed"
    assert hint == "pip install 'edgegen[adb]', for USB without an adb server also 'adb-shell[usb]'"


def test_tls_is_left_to_adb(nobody):
    def answer(connected):
        connected.recv(4096)
        connected.sendall(packet(wire.STLS, 0x01000000, 0))
        connected.recv(1)

    with scripted(answer) as serial:
        message, hint = failed(
            lambda: connect(serial, environment=nobody), failures.TlsRequiredError
        )
    assert message == f"{serial} asks for TLS, as Android's wireless debugging does"
    assert hint == (
        "pair and connect it with adb, then go through its server: adb pair HOST:PORT; "
        f"adb connect {serial}; and --transport adb-server"
    )


def test_where_a_server_listens():
    assert server_address({}) == ("127.0.0.1", 5037)
    assert server_address({"ANDROID_ADB_SERVER_PORT": "6000"}) == ("127.0.0.1", 6000)
    assert server_address({"ADB_SERVER_SOCKET": "tcp:box:6001"}) == ("box", 6001)
    message, hint = failed(lambda: server_address({"ANDROID_ADB_SERVER_PORT": "x"}), DeviceError)
    assert message == "ANDROID_ADB_SERVER_PORT names the port 'x', expected 1 to 65535"
    assert hint == "unset ANDROID_ADB_SERVER_PORT"


@pytest.mark.parametrize("name", [name for name in dir(failures) if name.endswith("Error")])
def test_every_error_is_of_our_tree(name):
    assert issubclass(getattr(failures, name), DeviceError)


def test_a_device_that_goes_while_a_server_has_others(monkeypatch):
    """The error names what the server has, and claims nothing where nobody looked."""
    transport = object.__new__(adb_server.AdbServer)
    transport.serial, transport._address = "PIXEL9", ("127.0.0.1", 1)
    listed = [adb_server.ListedDevice("PIXEL8", "device")]
    monkeypatch.setattr(adb_server, "list_devices", lambda _: listed)
    error = transport._failure("device 'PIXEL9' not found")
    assert str(error) == "no device 'PIXEL9' is connected"
    assert "PIXEL8" in error.hint
    monkeypatch.undo()
    error = transport._failure("device 'PIXEL9' not found")  # no server answers any more
    assert error.hint == (
        "see what is there with edgegen devices; check the cable and USB debugging"
    )
