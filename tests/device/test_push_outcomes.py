"""What a push tells of each file, and what is no failure of it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

import edgegen.device.push as push_module
from edgegen.device.push import push
from edgegen.device.push_lock import PushLock
from edgegen.device.transports.failures import (
    ConnectionLostError,
    DeviceFileError,
    UnexpectedError,
)
from edgegen.errors import EdgegenError
from tests.device.test_push import one

MIB = 1024**2


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "model.task"
    path.write_bytes(os.urandom(5 * MIB + 12345))
    return path


@pytest.fixture(params=["adb-direct", "adb-server", "local"])
def way(request):
    return request.param


def test_what_succeeded_before_an_error_is_told(reach, source, tmp_path):
    reached = reach("adb-direct")
    (reached.root / "bundles/second").mkdir(parents=True)
    (tmp_path / "second").write_bytes(b"x")
    results = push([source, tmp_path / "second"], reached.transport, folder=reached.path("bundles"))
    [result] = results.values()
    assert [file.path for file in result.pushed] == [reached.path("bundles/model.task")]
    assert isinstance(result.error, DeviceFileError)


def test_what_nobody_expects_ends_one_device_only(reach, source, monkeypatch):
    reached, other = reach("adb-direct"), reach("adb-direct")

    def broken(*_, **__):
        raise ValueError("Exceeds the limit (4300 digits)")

    monkeypatch.setattr(reached.transport, "stat", broken)
    results = push([source], [reached.transport, other.transport])
    error = results[reached.transport.serial].error
    assert isinstance(error, UnexpectedError)
    assert str(error) == (
        f"the work with {reached.transport.serial} ended with ValueError: "
        "Exceeds the limit (4300 digits)"
    )
    assert error.hint == "this is a fault of edgegen: please report it"
    assert results[other.transport.serial].error is None


def test_permissions_are_set_where_the_file_is_there_already(reach, way, source):
    reached = reach(way)
    one(reached, source)
    assert one(reached, source, mode=0o755).skipped
    assert (reached.root / "bundles/model.task").stat().st_mode & 0o777 == 0o755


def test_a_name_that_is_not_utf_8(reach, way, tmp_path):
    reached = reach(way)
    source = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe.task"))
    source.write_bytes(os.urandom(2 * MIB))
    one(reached, source, verify=True)
    there = reached.root / "bundles" / source.name
    assert there.read_bytes() == source.read_bytes()
    assert one(reached, source).skipped


def test_a_source_that_cannot_be_read(reach, source, monkeypatch):
    real = Path.open

    def refuse(path, *rest, **options):
        if path == source:
            raise PermissionError(13, "Permission denied")
        return real(path, *rest, **options)

    reached = reach("local")
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(EdgegenError) as caught:
        one(reached, source)
    assert str(caught.value) == f"{source} cannot be read: Permission denied"
    assert caught.value.hint == "check its permissions"


def test_a_lock_that_cannot_be_removed_is_no_failure(reach, source, monkeypatch):
    """What is tidied up once the file has its name must not call the push a failure."""
    reached = reach("adb-direct")
    release = PushLock.release

    def broken(self):
        def gone(*_, **__):
            raise ConnectionLostError(reached.transport.serial, "x")

        monkeypatch.setattr(self.transport, "shell", gone)
        release(self)

    monkeypatch.setattr(PushLock, "release", broken)
    assert one(reached, source).size == source.stat().st_size
    assert (reached.root / "bundles/model.task").read_bytes() == source.read_bytes()


def test_ctrl_c_while_a_device_says_nothing_at_all(reach, source, monkeypatch):
    """However early it fell silent: no step may wait out its own time."""
    reached = reach("adb-direct")
    reached.double.faults.arm(stall_after_received=1)
    began = time.monotonic()
    monkeypatch.setattr(push_module, "wait", interrupted_after(0.5))
    with pytest.raises(KeyboardInterrupt):
        push([source], reached.transport)
    assert time.monotonic() - began < 6
    reached.double.faults.release()


def interrupted_after(seconds):
    def wait(*_):
        time.sleep(seconds)
        raise KeyboardInterrupt

    return wait
