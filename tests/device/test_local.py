"""What this machine as a device can meet that a phone cannot."""

from __future__ import annotations

import io
import os
import threading
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest

from edgegen.device.pull import pull
from edgegen.device.transports import connect
from edgegen.device.transports.failures import (
    CancelledError,
    DeviceFileError,
    DeviceTimeoutError,
    EndlessOutputError,
    UnreadableError,
    file_failure,
)
from edgegen.errors import DeviceError
from tests.processes import wait_for


@pytest.fixture
def local():
    return connect(transport="local")


def test_a_pipe_is_no_file(local, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    message = f"{tmp_path}/pipe on local: no ordinary file"
    with pytest.raises(DeviceFileError) as caught:
        local.pull(f"{tmp_path}/pipe", io.BytesIO())
    assert str(caught.value) == message
    with pytest.raises(DeviceFileError) as caught:
        pull("pipe", local, tmp_path / "out", folder=str(tmp_path))
    assert str(caught.value) == message
    assert not (tmp_path / "out").exists()


def test_a_pull_can_be_stopped(local, tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(CancelledError):
        pull("file", local, tmp_path / "out", folder=str(tmp_path), cancel=cancel)
    assert not (tmp_path / "out").exists()


def test_a_pull_of_many_pieces_is_whole(local, tmp_path):
    content = os.urandom(3 * 1024**2 + 17)
    (tmp_path / "file").write_bytes(content)
    pull("file", local, tmp_path / "out", folder=str(tmp_path))
    assert (tmp_path / "out").read_bytes() == content


def test_of_a_file_of_unknown_size_no_more_comes_than_there_is_room_for(
    local, tmp_path, monkeypatch
):
    (tmp_path / "file").write_bytes(bytes(1001))
    found = replace(local.stat(f"{tmp_path}/file"), size=None)
    monkeypatch.setattr(local, "stat", lambda path, cancel=None: found)
    room = SimpleNamespace(free=1000)
    monkeypatch.setattr("edgegen.device.pull.shutil.disk_usage", lambda folder: room)
    with pytest.raises(EndlessOutputError) as caught:
        pull("file", local, tmp_path / "out", folder=str(tmp_path))
    assert str(caught.value) == f"local sent more than 1000 bytes as {tmp_path}/file"
    assert not (tmp_path / "out").exists()
    room.free = 1001
    assert pull("file", local, tmp_path / "out", folder=str(tmp_path)).size == 1001


def test_what_a_command_left_running_ends_with_it(local, tmp_path):
    script = f"sleep 60 & echo $! >{tmp_path}/id; exit 0"  # the child holds the output open
    with pytest.raises(DeviceTimeoutError):
        local.shell(script, timeout_s=0.5)
    number = int((tmp_path / "id").read_text())
    assert wait_for(lambda: not alive(number), timeout_s=5)


def test_what_was_meant_to_stay_does(local, tmp_path):
    local.shell(f"sleep 60 >/dev/null 2>&1 & echo $! >{tmp_path}/id", timeout_s=10)
    number = int((tmp_path / "id").read_text())
    time.sleep(0.2)
    assert alive(number)
    os.kill(number, 9)


def alive(number: int) -> bool:
    try:
        with open(f"/proc/{number}/stat") as file:  # noqa: PTH123
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_another_device_is_not_reached_as_this_machine():
    with pytest.raises(DeviceError) as caught:
        connect("PIXEL9", transport="local")
    assert str(caught.value) == (
        "'PIXEL9' is not this machine, which is all that --transport local reaches"
    )
    assert caught.value.hint == "leave --transport out, or the device"
    for environment in ({"ANDROID_SERIAL": "local"}, {}):
        serial = None if environment else "local"
        assert connect(serial, environment=environment).name == "local"
    assert connect(transport="local", environment={"ANDROID_SERIAL": "PIXEL9"}).serial == "local"


def test_errors_of_reading_are_not_called_errors_of_writing():
    error = file_failure("R5", "/data/x", "Permission denied", reading=True)
    assert isinstance(error, UnreadableError)
    assert str(error) == "cannot read /data/x on R5: Permission denied"
    assert error.hint == (
        "copy it to where the shell may read it, such as /data/local/tmp; an app's own files need "
        "run-as"
    )
