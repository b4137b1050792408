"""A device that means harm: it can neither hang, fill memory, nor write where it must not."""

from __future__ import annotations

import contextlib
import io
import resource
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgegen.device.pull import pull
from edgegen.device.testing import Adbd
from edgegen.device.transports import adb_transport, connect, wire
from edgegen.device.transports.adb_direct import AdbDirect
from edgegen.device.transports.failures import (
    CommandFailedError,
    EndlessOutputError,
    PathRefusedError,
    ProtocolError,
)
from edgegen.device.transports.interface import Transport
from edgegen.device.transports.patience import Patience
from edgegen.errors import DeviceError
from tests.device.doubles import reach_directly

BANNER = b"device::ro.product.model=x;features=shell_v2,stat_v2,ls_v2\0"


@contextlib.contextmanager
def scripted(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """A device that does what a function does with the connection; yields its address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connected, _ = listening.accept()
                    with connected, contextlib.suppress(OSError, struct.error):
                        connected.settimeout(10)
                        answer(connected)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)
    thread.join(15)


def packet(command: int, arg0: int, arg1: int, payload: bytes = b"") -> bytes:
    return wire.header(command, arg0, arg1, len(payload), sum(payload)) + payload


def read_packet(connected: socket.socket) -> tuple[int, int, int, bytes]:
    head = connected.recv(24, socket.MSG_WAITALL)
    command, arg0, arg1, length, _, _ = wire.HEADER.unpack(head)
    return command, arg0, arg1, connected.recv(length, socket.MSG_WAITALL) if length else b""


def greet(connected: socket.socket) -> None:
    read_packet(connected)
    connected.sendall(packet(wire.CNXN, wire.VERSION, wire.MAX_PAYLOAD, BANNER))


def after_opening(reply: bytes, *, polite: bool = True) -> Callable[[socket.socket], None]:
    """Return a device that opens each service and then says the same, again and again."""

    def answer(connected: socket.socket) -> None:
        greet(connected)
        _, host, _, _ = read_packet(connected)
        connected.sendall(packet(wire.OKAY, 7, host))
        while True:
            connected.sendall(packet(wire.WRTE, 7, host, reply))
            while polite:  # until the host has confirmed it
                command, arg0, _, _ = read_packet(connected)
                if command == wire.OKAY and arg0 == host:
                    break
                if command == wire.WRTE:
                    connected.sendall(packet(wire.OKAY, 7, host))
                if command == wire.CLSE:
                    return

    return answer


def direct(serial: str) -> AdbDirect:
    return AdbDirect(serial, keys=lambda: [], authorize_s=1)


def read_slowly(transport: Transport) -> None:
    with transport.stream("x", timeout_s=2) as running:
        for _ in running:
            time.sleep(0.05)


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@pytest.mark.parametrize(
    ("first", "message"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "a packet that begins with b'HTTP'"),
        (struct.pack("<6I", wire.CNXN, 0, 0, 2**32 - 1, 0, wire.CNXN ^ 0xFFFFFFFF), None),
        (packet(wire.OKAY, 1, 1), "an unexpected packet instead of a greeting"),
    ],
)
def test_greetings_that_are_none(first, message):
    with scripted(lambda connected: connected.sendall(first) or time.sleep(0.2)) as serial:
        with pytest.raises(ProtocolError) as caught:
            direct(serial)
        found = message or "a packet of 4294967295 bytes"
        assert str(caught.value) == f"{serial} broke the adb protocol: {found}"


def test_a_device_that_says_nothing():
    def listen_only(connected: socket.socket) -> None:
        while connected.recv(4096):
            pass

    with scripted(listen_only) as serial:
        began = time.monotonic()
        with pytest.raises(DeviceError) as caught:
            direct(serial)
        assert time.monotonic() - began < 8
        assert str(caught.value) == f"{serial} did not finish within 1 s"


def test_data_without_end_that_nobody_confirms():
    """Flow control is what keeps a host's memory in bounds; who ignores it is cut off."""
    reply = struct.pack("<BI", wire.STDOUT, 2**32 - 1) + b"x" * 500_000
    with scripted(after_opening(reply, polite=False)) as serial, direct(serial) as transport:
        before = peak_mib()
        with pytest.raises(DeviceError):
            read_slowly(transport)
        assert peak_mib() - before < 50


def test_output_of_4_gib_in_one_record():
    reply = struct.pack("<BI", wire.STDOUT, 2**32 - 1) + b"x" * 1_000_000
    with scripted(after_opening(reply)) as serial, direct(serial) as transport:
        before = peak_mib()
        with pytest.raises(EndlessOutputError):
            transport.shell("x", timeout_s=20)
        assert peak_mib() - before < 100


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (wire.DENT_V2.pack(b"DNT2", *(0,) * 11, 2**32 - 1), "a file name of 4294967295 bytes"),
        (
            wire.DENT_V2.pack(b"DNT2", *(0,) * 11, 9) + b"../escape",
            "the file name '../escape' in /sdcard",
        ),
        (wire.DENT_V2.pack(b"DNT2", *(0,) * 11, 4) + b"/etc", "the file name '/etc' in /sdcard"),
        (wire.DENT_V2.pack(b"DNT2", *(0,) * 11, 0), "the file name '' in /sdcard"),
        (b"WHAT" + bytes(72), "b'WHAT' instead of b'DNT2'"),
        (b"FAIL" + struct.pack("<I", 2**31) + bytes(64), "an error message of 2147483648 bytes"),
    ],
    ids=["long", "up", "absolute", "empty", "word", "message"],
)
def test_lists_that_lie(reply, message):
    with scripted(after_opening(reply)) as serial, direct(serial) as transport:
        with pytest.raises(ProtocolError) as caught:
            transport.list("/sdcard")
        assert str(caught.value) == f"{serial} broke the adb protocol: {message}"


def test_a_list_without_end():
    entries = (wire.DENT_V2.pack(b"DNT2", *(0,) * 11, 1) + b"x") * 8000
    with scripted(after_opening(entries)) as serial, direct(serial) as transport:
        with pytest.raises(EndlessOutputError) as caught:
            transport.list("/sdcard")
        assert str(caught.value) == f"{serial} sent more than 100000 bytes as the list of /sdcard"


def test_a_file_that_is_longer_than_it_said():
    reply = struct.pack("<4sI", b"DATA", 65536) + bytes(65536)
    with scripted(after_opening(reply)) as serial, direct(serial) as transport:
        sink = io.BytesIO()
        with pytest.raises(EndlessOutputError) as caught:
            transport.pull("/sdcard/x", sink, limit=1_000_000)
        assert str(caught.value) == f"{serial} sent more than 1000000 bytes as /sdcard/x"
        assert len(sink.getvalue()) <= 1_000_000


def test_what_a_link_points_to_ends_somewhere(monkeypatch):
    monkeypatch.setattr(adb_transport, "_UNKNOWN_SIZE", 1_000_000)
    link = wire.STAT_V2_REPLY.pack(b"LST2", 0, 0, 0, 0o120777, 1, 0, 0, 4, 0, 0, 0)
    data = struct.pack("<4sI", b"DATA", 65536) + bytes(65536)

    def answer(connected: socket.socket) -> None:
        greet(connected)
        remote = 0
        while True:
            command, host, _, payload = read_packet(connected)
            if command == wire.OPEN:
                remote += 1
                connected.sendall(packet(wire.OKAY, remote, host))
            elif command == wire.WRTE and payload.startswith(b"LST2"):
                connected.sendall(packet(wire.OKAY, remote, host))
                connected.sendall(packet(wire.WRTE, remote, host, link))
            elif command == wire.WRTE and payload.startswith((b"RECV", b"RCV2")):
                connected.sendall(packet(wire.OKAY, remote, host))
                connected.sendall(packet(wire.WRTE, remote, host, data))
            elif command == wire.OKAY and remote == 2:
                connected.sendall(packet(wire.WRTE, remote, host, data))

    with scripted(answer) as serial, direct(serial) as transport:
        with pytest.raises(EndlessOutputError) as caught:
            transport.pull("/sdcard/x", io.BytesIO())
        assert str(caught.value) == f"{serial} sent more than 1000000 bytes as /sdcard/x"


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (struct.pack("<4sI", b"DATA", 65537) + bytes(9), "b'DATA' of 65537 bytes in a file"),
        (struct.pack("<4sI", b"WHAT", 0), "b'WHAT' of 0 bytes in a file"),
        (struct.pack("<4sI", b"DATA", 0), "b'DATA' of 0 bytes in a file"),
        (b"", "1000 empty packets"),
    ],
)
def test_files_in_records_that_are_none(reply, message):
    with scripted(after_opening(reply)) as serial, direct(serial) as transport:
        with pytest.raises(ProtocolError) as caught:
            transport.pull("/sdcard/x", io.BytesIO(), limit=10**9)
        assert str(caught.value) == f"{serial} broke the adb protocol: {message}"


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(noise=st.binary(min_size=1, max_size=3000))
def test_any_bytes_end_in_an_error_of_ours_or_a_result(noise):
    with scripted(after_opening(noise)) as serial, direct(serial) as transport:
        transport.silence_s = transport.flush_s = 0.2
        for call in (
            lambda: transport.shell("x", timeout_s=0.3),
            lambda: transport.stat("/sdcard"),
            lambda: transport.list("/sdcard"),
            lambda: transport.pull("/sdcard/x", io.BytesIO(), limit=10_000),
            lambda: transport.push(io.BytesIO(b"x"), "/sdcard/x"),
        ):
            with contextlib.suppress(DeviceError):
                call()


@settings(max_examples=30)
@given(
    command=st.sampled_from([wire.CNXN, wire.AUTH, wire.STLS, wire.OKAY]),
    arg0=st.integers(0, 4),
    payload=st.binary(max_size=60),
    noise=st.binary(max_size=60),
)
def test_any_greeting_ends_in_an_error_of_ours_or_a_connection(command, arg0, payload, noise):
    def greet_with_noise(connected: socket.socket) -> None:
        read_packet(connected)
        connected.sendall(packet(command, arg0, 4096, payload) + noise)

    with scripted(greet_with_noise) as serial, contextlib.suppress(DeviceError):
        AdbDirect(serial, keys=lambda: [NoSigner()], authorize_s=0.5).close()


class NoSigner:
    """Signs what an RSA key signs, and nothing else."""

    def Sign(self, token: bytes) -> bytes:
        assert len(token) == 20
        return bytes(256)

    def GetPublicKey(self) -> bytes:
        return b"key"


@pytest.mark.parametrize("length", [0, 19, 21, 5000])
def test_a_token_of_another_length(length):
    def ask(connected: socket.socket) -> None:
        read_packet(connected)
        connected.sendall(packet(wire.AUTH, wire.AUTH_TOKEN, 0, bytes(length)))
        connected.recv(1)

    with scripted(ask) as serial:
        with pytest.raises(ProtocolError) as caught:
            AdbDirect(serial, keys=lambda: [NoSigner()], authorize_s=2)
        found = f"a token of {length} bytes, expected 20"
        assert str(caught.value) == f"{serial} broke the adb protocol: {found}"


def test_data_for_one_stream_while_another_is_read():
    """What nobody takes may not pile up: the device had to wait for a confirmation."""

    def answer(connected: socket.socket) -> None:
        greet(connected)
        hosts = []
        for number in (7, 8):
            hosts.append(read_packet(connected)[1])
            connected.sendall(packet(wire.OKAY, number, hosts[-1]))
        for _ in range(5):
            connected.sendall(packet(wire.WRTE, 7, hosts[0], b"x" * 100_000))
        connected.recv(1)

    with scripted(answer) as serial, direct(serial) as transport:
        patience = Patience(serial, timeout_s=5)
        transport._open("sync:", patience)
        second = transport._open("sync:", patience)
        with pytest.raises(ProtocolError) as caught:
            second.receive(patience)
    assert str(caught.value) == (
        f"{serial} broke the adb protocol: more data than we said we could take"
    )


def test_a_checksum_that_is_wrong():
    def answer(connected: socket.socket) -> None:
        read_packet(connected)
        connected.sendall(packet(wire.CNXN, wire.VERSION_CHECKSUMS, 4096, b"device::\0"))
        _, host, _, _ = read_packet(connected)
        connected.sendall(packet(wire.OKAY, 7, host))
        connected.sendall(wire.header(wire.WRTE, 7, host, 3, 5) + b"abc")
        connected.recv(4096)

    with scripted(answer) as serial, direct(serial) as transport:
        with pytest.raises(ProtocolError) as caught:
            transport.shell("x", timeout_s=5)
        assert str(caught.value) == (
            f"{serial} broke the adb protocol: a packet whose checksum is wrong"
        )


def test_a_service_that_is_refused(tmp_path, home):
    with (
        Adbd(tmp_path, refused_services=("sync",)) as double,
        reach_directly(double, home) as transport,
    ):
        with pytest.raises(CommandFailedError) as caught:
            transport.stat("/sdcard")
        assert str(caught.value) == (
            f"'sync' on {double.serial} ended without an exit code: the device refuses the service"
        )


def test_a_command_that_is_longer_than_a_packet(tmp_path, home):
    with (
        Adbd(tmp_path, payload_bytes=4096) as double,
        reach_directly(double, home) as transport,
    ):
        with pytest.raises(CommandFailedError) as caught:
            transport.shell(["echo", "x" * 5000])
        assert str(caught.value).startswith(
            f"'shell,v2,raw' on {double.serial} ended without an exit code: "
        )
        assert str(caught.value).endswith(" are more than the 4096 that the device takes")
        assert transport.shell("echo alive").text == "alive\n"


def test_names_that_a_device_lists_are_checked_by_the_double_too(tmp_path, home):
    with Adbd(tmp_path) as double, reach_directly(double, home) as transport:
        double.listed_names = ["ok", "../../escape"]
        with pytest.raises(ProtocolError):
            transport.list(str(tmp_path))


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("../secret", "it leads out of /data/local/tmp/edgegen"),
        ("/etc/passwd", "it leads out of /data/local/tmp/edgegen"),
        ("a/../../x", "it leads out of /data/local/tmp/edgegen"),
        (".", "it leads out of /data/local/tmp/edgegen"),
        ("/data/local/tmp/edgegenX/f", "it leads out of /data/local/tmp/edgegen"),
        ("a\nb", "it goes over several lines"),
        ("x" * 256, "its name is longer than 255 bytes"),
    ],
)
def test_paths_stay_in_the_chosen_folder(path, why, tmp_path):
    with pytest.raises(PathRefusedError) as caught:
        pull(path, connect(transport="local"), tmp_path / "out")
    assert str(caught.value) == f"refused the path {path!r}: {why}"


def test_links_do_not_lead_a_pull_out_of_its_folder(tmp_path):
    (tmp_path / "root").mkdir()
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "root/link").symlink_to(tmp_path)
    with pytest.raises(PathRefusedError) as caught:
        pull("link/secret", connect(transport="local"), tmp_path / "x", folder=f"{tmp_path}/root")
    path = f"{tmp_path}/root/link/secret"
    assert str(caught.value) == (
        f"refused the path {path!r}: {tmp_path}/root/link is a link, which may lead out of "
        f"{tmp_path}/root"
    )
    assert not (tmp_path / "x").exists()
