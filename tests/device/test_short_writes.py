"""A device that takes bytes slowly and few at a time: no byte may get lost on the way.

adb-shell 0.4.4 passes over how much `send` has taken, so that the rest of a packet is missing.
"""

from __future__ import annotations

import io
import os
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from edgegen.device.testing import Adbd
from edgegen.device.transports import tcp_link
from edgegen.errors import DeviceError
from tests.device.doubles import reach_directly
from tests.processes import wait_for

MIB = 1024**2
CONTENT = os.urandom(6 * MIB)


@pytest.fixture
def slow(tmp_path):
    """A receiver with a small window, at a rate of 30 MB/s."""
    root = tmp_path / "device"
    root.mkdir()
    with Adbd(root, window_bytes=16384) as double:
        double.faults.bytes_per_s = 30e6
        yield double


@pytest.fixture
def small_buffer(monkeypatch):
    """Have the system take 128 KiB at most, as on a network where it has learned to be careful."""
    connect = socket.create_connection

    def connected(*arguments, **options):
        made = connect(*arguments, **options)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 128 * 1024)
        return made

    monkeypatch.setattr(socket, "create_connection", connected)
    connect_to = tcp_link._connect_to

    def connected_to(connecting, *arguments):
        failed = connect_to(connecting, *arguments)
        connecting.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 128 * 1024)
        return failed

    monkeypatch.setattr(tcp_link, "_connect_to", connected_to)


@pytest.fixture
def short_writes(monkeypatch):
    """The number of writes that the system took a part of only."""
    counted = []
    write_some = tcp_link.TcpLink._write_some

    def counting(link, parts, wait_s):
        sent = write_some(link, parts, wait_s)
        if sent < sum(map(len, parts)):
            counted.append(sent)
        return sent

    monkeypatch.setattr(tcp_link.TcpLink, "_write_some", counting)
    return counted


def test_nothing_is_lost(slow, small_buffer, short_writes, home):
    with reach_directly(slow, home) as transport:
        transport.push(io.BytesIO(CONTENT), "/data/local/tmp/pushed")
        transport.write_at(io.BytesIO(CONTENT), "/data/local/tmp/written", block=0, size=6 * MIB)
    assert len(short_writes) > 10, "there was nothing to lose"
    for name in ("pushed", "written"):
        assert (slow.root / "data/local/tmp" / name).read_bytes() == CONTENT


def test_without_the_loop_it_would_be(slow, small_buffer, home, monkeypatch):
    def write_once(link, parts, patience):
        link._write_some([memoryview(part) for part in parts if len(part)], patience.wait_s())

    with reach_directly(slow, home) as transport:
        transport.silence_s = 1.5
        monkeypatch.setattr(tcp_link.TcpLink, "write", write_once)
        with pytest.raises(DeviceError):
            transport.push(io.BytesIO(CONTENT), "/data/local/tmp/pushed")
    assert wait_for(lambda: not (slow.root / "data/local/tmp/pushed").exists())


def test_adb_shell_itself_loses_them(slow, small_buffer):
    """The defect as it is published; once this fails, it has been mended there."""
    from adb_shell.adb_device import AdbDeviceTcp
    from adb_shell.exceptions import TcpTimeoutException

    client = AdbDeviceTcp("127.0.0.1", slow.port)
    client.connect()
    try:
        with pytest.raises(TcpTimeoutException):
            client.push(
                io.BytesIO(CONTENT),
                "/data/local/tmp/pushed",
                transport_timeout_s=2,
                read_timeout_s=2,
            )
    finally:
        client.close()


class PausingSink(io.BytesIO):
    """Takes nothing but its first bytes until something has happened."""

    def __init__(self, happened) -> None:
        super().__init__()
        self.happened = happened

    def write(self, data) -> int:
        if self.tell():
            assert wait_for(self.happened)
        return super().write(data)


def test_whoever_waits_for_anothers_packet_sees_the_device_alive(slow, small_buffer, home):
    slow.faults.bytes_per_s = 400e3  # a packet of 1 MiB takes longer than the silence allowed
    (slow.root / "data/local/tmp").mkdir(parents=True, exist_ok=True)
    (slow.root / "data/local/tmp/there").write_bytes(CONTENT)
    with reach_directly(slow, home) as transport, ThreadPoolExecutor(2) as pool:
        transport.silence_s = 1.5
        sink = PausingSink(lambda: slow.faults.received > MIB // 4)
        pulled = pool.submit(transport.pull, "/data/local/tmp/there", sink)
        assert wait_for(lambda: slow.faults.sent > MIB // 4)
        pushed = pool.submit(
            transport.push, io.BytesIO(CONTENT[: 4 * MIB]), "/data/local/tmp/pushed"
        )
        assert pulled.result() == len(CONTENT)
        pushed.result()
    assert sink.getvalue() == CONTENT
    assert (slow.root / "data/local/tmp/pushed").read_bytes() == CONTENT[: 4 * MIB]
