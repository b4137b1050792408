"""Two pushes to one file: one at a time, and never a file with a hole in it."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import subprocess
import threading
import time
from pathlib import Path

import pytest

import edgegen.device.push as push_module
from edgegen.device.push_lock import _place
from edgegen.device.resume import PartFile
from edgegen.device.transports import connect
from edgegen.device.transports.failures import (
    CorruptedError,
    DeviceFileError,
    ReadOnlyTargetError,
    TargetBusyError,
)
from tests.device.doubles import Reached
from tests.device.test_push import broken_off, left_in, one
from tests.processes import wait_for

MIB = 1024**2
WAYS = ["adb-direct", "adb-direct, old device", "adb-server", "local"]


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "model.task"
    path.write_bytes(os.urandom(5 * MIB + 12345))
    return path


def lock_of(reached: Reached) -> Path:
    return reached.root / "bundles/.model.task.lock"


def after_verifying(monkeypatch, change):
    """Do something to the part file once it has been compared."""
    real = push_module.verified_blocks

    def verified(transport, part, *rest):
        blocks = real(transport, part, *rest)
        change(Path(part.path))
        return blocks

    monkeypatch.setattr(push_module, "verified_blocks", verified)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("size", [None, 2 * MIB])
def test_a_part_that_goes_is_not_made_anew_with_zeros(reach, way, source, monkeypatch, size):
    reached = reach(way)
    part = broken_off(reached, source, 3 * MIB + 7)
    after_verifying(monkeypatch, lambda p: p.unlink() if size is None else os.truncate(p, size))
    with pytest.raises(DeviceFileError) as caught:
        one(reached, source)
    gone = "the first 3 MiB of the part file are no longer there"
    if way == "local" and size is None:
        gone = "No such file or directory"
    assert str(caught.value) == f"{part} on {reached.transport.serial}: {gone}"
    assert not (reached.root / "bundles/model.task").exists()
    monkeypatch.undo()
    one(reached, source)
    assert (reached.root / "bundles/model.task").read_bytes() == source.read_bytes()
    assert left_in(reached.root / "bundles") == ["model.task"]


@pytest.mark.parametrize("way", WAYS)
def test_after_a_resume_all_of_it_is_hashed_on_the_device(reach, way, source, monkeypatch):
    reached = reach(way)
    broken_off(reached, source, 3 * MIB)

    def zeros(part: Path) -> None:
        part.write_bytes(bytes(part.stat().st_size))

    after_verifying(monkeypatch, zeros)
    with pytest.raises(CorruptedError):
        one(reached, source, verify=False)
    assert not (reached.root / "bundles/model.task").exists()
    monkeypatch.undo()
    one(reached, source)
    assert (reached.root / "bundles/model.task").read_bytes() == source.read_bytes()


@pytest.mark.parametrize("version", ["the same", "another"])
def test_a_second_push_while_the_first_runs(reach, source, version, tmp_path):
    reached = reach("adb-direct")
    reached.double.faults.bytes_per_s = 3 * MIB
    results = []
    first = threading.Thread(target=lambda: results.append(one(reached, source)))
    first.start()
    assert wait_for(lambda: reached.double.faults.received > MIB, timeout_s=30)
    second = source
    if version == "another":
        (tmp_path / "other").mkdir()
        second = tmp_path / "other/model.task"
        second.write_bytes(os.urandom(2 * MIB))
    serial, environment = reached.transport.serial, reached.environment
    with (
        connect(serial, transport="adb-direct", environment=environment) as other,
        pytest.raises(TargetBusyError) as caught,
    ):
        one(dataclasses.replace(reached, transport=other), second)
    target = reached.path("bundles/model.task")
    assert str(caught.value) == (
        f"another push to {target} on {reached.transport.serial} is under way"
    )
    assert caught.value.hint == (
        f"wait until it has ended; if there is none, remove {lock_of(reached)} there"
    )
    first.join()
    [pushed] = results
    assert not pushed.skipped
    assert Path(target).read_bytes() == source.read_bytes()
    assert left_in(reached.root / "bundles") == ["model.task"]


def dead_process() -> int:
    with subprocess.Popen(["true"]) as process:
        process.wait()
    return process.pid


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("whose", ["a dead process", "an ended push of this one", "old"])
def test_a_stale_lock_is_taken_over(reach, way, source, whose):
    reached = reach(way)
    lock = lock_of(reached)
    lock.parent.mkdir()
    place = "0" * 16 if whose == "old" else _place()
    number = dead_process() if whose == "a dead process" else os.getpid()
    lock.write_text(f"{place}-{number}-0011223344556677\n")
    if whose == "old":
        os.utime(lock, (time.time() - 1000,) * 2)
    one(reached, source)
    assert left_in(lock.parent) == ["model.task"]


@pytest.mark.parametrize("whose", ["another computer", "a process that runs", "nobody yet"])
def test_a_lock_that_is_not_stale(reach, source, whose):
    reached = reach("adb-direct")
    lock = lock_of(reached)
    lock.parent.mkdir()
    place = "0" * 16 if whose == "another computer" else _place()
    lock.write_text("" if whose == "nobody yet" else f"{place}-{os.getppid()}-0011223344556677\n")
    with pytest.raises(TargetBusyError):
        one(reached, source)
    assert left_in(lock.parent) == [".model.task.lock"], "it stays, for it is another's"


def test_an_old_lock_of_a_part_that_grows_is_not_stale(reach, source):
    reached = reach("adb-direct")
    broken_off(reached, source, 2 * MIB)
    lock_of(reached).write_text(f"{'0' * 16}-1-0011223344556677\n")
    os.utime(lock_of(reached), (time.time() - 1000,) * 2)
    with pytest.raises(TargetBusyError):
        one(reached, source)


def test_who_lost_the_lock_does_not_rename(reach, source, monkeypatch):
    """Another computer took the push for dead, and goes on with the same part file."""
    reached = reach("adb-direct")
    real = push_module._Push._check

    def check(self, *rest):
        real(self, *rest)
        lock_of(reached).write_text(f"{'0' * 16}-1-0011223344556677\n")

    monkeypatch.setattr(push_module._Push, "_check", check)
    with pytest.raises(TargetBusyError):
        one(reached, source)
    assert not (reached.root / "bundles/model.task").exists()
    assert lock_of(reached).exists()


def test_a_folder_that_cannot_be_written(reach, source, monkeypatch):
    reached = reach("adb-direct")
    real = reached.transport.run

    def run(command, **options):
        if "set -C" in command:
            return real("echo 'sh: 3: cannot create x: Read-only file system' >&2; exit 1")
        return real(command, **options)

    monkeypatch.setattr(reached.transport, "run", run)
    with pytest.raises(ReadOnlyTargetError) as caught:
        one(reached, source)
    assert str(caught.value) == (
        f"cannot write {reached.path('bundles')} on {reached.transport.serial}: "
        "Read-only file system"
    )


# What old systems have in the place of `dd`; all they know is what toolbox's knows.
TOOLBOX_DD = f"""
for word; do case $word in conv=*) echo "unknown operand conv" >&2; exit 1;; esac; done
exec {shutil.which("dd")} "$@"
"""
NO_FSYNC_DD = f"""
for word; do case $word in *fsync*) echo "dd: fsync: illegal argument" >&2; exit 1;; esac; done
exec {shutil.which("dd")} "$@"
"""


@pytest.mark.parametrize("way", ["adb-direct", "adb-direct, old device", "adb-server"])
@pytest.mark.parametrize("missing", [(), ("truncate",)], ids=["", "no truncate"])
@pytest.mark.parametrize("dd", [TOOLBOX_DD, NO_FSYNC_DD], ids=["toolbox", "no fsync"])
def test_a_dd_that_knows_less(reach, way, source, dd, missing):
    reached = reach(way, commands={"dd": dd}, missing=missing)
    one(reached, source, verify=True)
    target = reached.root / "bundles/model.task"
    assert target.read_bytes() == source.read_bytes()
    source.write_bytes(os.urandom(5 * MIB + 3))
    broken_off(reached, source, 3 * MIB + 5)
    assert one(reached, source).resumed_from == 3 * MIB
    assert target.read_bytes() == source.read_bytes()
    assert left_in(target.parent) == ["model.task"]


def test_an_old_device_that_cannot_count_bytes_gets_files_as_adb_sends_them(reach, source):
    reached = reach("adb-direct, old device", missing=("head",), commands={"dd": TOOLBOX_DD})
    broken_off(reached, source, 3 * MIB)
    pushed = one(reached, source, verify=True)
    assert pushed.notes == ("the device is old: a push that breaks off starts anew",)
    assert (reached.root / "bundles/model.task").read_bytes() == source.read_bytes()


def test_part_files_of_other_versions_make_room_first(reach, source):
    reached = reach("adb-direct")
    old = Path(
        re.sub(
            r"\.[0-9a-f]{12}\.part", f".{'0' * 12}.part", broken_off(reached, source, 1).as_posix()
        )
    )
    old.write_bytes(bytes(4 * MIB))
    program = reached.double._folder / "stat"
    program.write_text(
        f'#!/bin/sh\n[ "$1" = -f ] || exec {shutil.which("stat")} "$@"\n'
        f'if [ -e {old} ]; then echo "{3 * MIB} 1"; else echo "{7 * MIB} 1"; fi\n'
    )
    program.chmod(0o755)
    one(reached, source)
    assert left_in(old.parent) == ["model.task"]


def test_part_names_of_names_that_are_not_utf_8(tmp_path):
    about = tmp_path.stat()
    name = os.fsdecode(b"/x/\xff\xfe.task")
    assert PartFile.of(name, about).path.startswith(name.replace("/x/", "/x/.") + ".")
    long = os.fsdecode(b"/x/" + b"\xff" * 230)
    assert len(PartFile.of(long, about).path) < 60
