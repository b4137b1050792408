"""Pushing bundles: skipping, resuming, verifying, several devices."""

from __future__ import annotations

import hashlib
import io
import os
import re
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from edgegen.device.description import DEFAULT_FOLDER
from edgegen.device.push import push
from edgegen.device.testing import Adbd
from edgegen.device.transports.failures import (
    ConnectionLostError,
    CorruptedError,
    DeviceFileError,
    DeviceFullError,
    NoRawInputError,
    OutOfSpaceError,
    PathRefusedError,
    SourceChangedError,
)
from edgegen.errors import EdgegenError
from edgegen.progress import reporting
from tests.device.conftest import WAYS
from tests.device.doubles import Reached, reach_directly

MIB = 1024**2


def one(reached: Reached, source: Path, **options):
    """Push one file to one device; return the one result, or raise the one error."""
    [result] = push([source], reached.transport, folder=reached.path("bundles"), **options).values()
    if result.error is not None:
        raise result.error
    return result.pushed[0]


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "model.task"
    path.write_bytes(os.urandom(5 * MIB + 12345))
    return path


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_arrives_and_is_not_sent_twice(reached, source):
    first = one(reached, source, verify=True)
    target = reached.root / "bundles/model.task"
    assert target.read_bytes() == source.read_bytes()
    assert (first.skipped, first.resumed_from, first.size) == (False, 0, source.stat().st_size)
    assert first.path == str(target)
    assert first.sha256 == hashlib.sha256(source.read_bytes()).hexdigest()
    assert first.verified_by == "sha256"
    inode = target.stat().st_ino
    second = one(reached, source)
    assert second.skipped
    assert second.verified_by == "sha256"
    assert target.stat().st_ino == inode
    assert left_in(reached.root / "bundles") == ["model.task"]


@pytest.mark.parametrize("size", [0, 1, MIB - 1, MIB, 2 * MIB])
def test_sizes_around_a_block(reached, tmp_path, size):
    source = tmp_path / "model.task"
    source.write_bytes(os.urandom(size))
    assert one(reached, source, verify=True).size == size
    assert (reached.root / "bundles/model.task").read_bytes() == source.read_bytes()


def test_the_same_size_is_not_the_same_content(reached, source):
    one(reached, source)
    target = reached.root / "bundles/model.task"
    target.write_bytes(target.read_bytes()[:-1] + b"\0")
    source.write_bytes(source.read_bytes()[:-1] + b"\1")
    assert not one(reached, source).skipped
    assert target.read_bytes() == source.read_bytes()


def test_permissions(reached, source):
    one(reached, source, mode=0o755)
    assert (reached.root / "bundles/model.task").stat().st_mode & 0o777 == 0o755


def test_awkward_names(reached, tmp_path):
    for name in ("a b", "$(touch x)", "'", "-rf", "ü.task", "x" * 250, "*", "a\\b"):
        source = tmp_path / name
        source.write_bytes(name.encode())
        one(reached, source)
        assert (reached.root / "bundles" / name).read_bytes() == name.encode()
    assert len(left_in(reached.root / "bundles")) == 8


def test_a_name_of_several_lines_is_refused(reached, tmp_path):
    source = tmp_path / "a\nb"
    source.write_bytes(b"")
    with pytest.raises(PathRefusedError) as caught:
        one(reached, source)
    assert str(caught.value) == "refused the path 'a\\nb': it goes over several lines"


@pytest.fixture(params=["adb-direct", "adb-server", "local"])
def way(request):
    return request.param


def broken_off(reached: Reached, source: Path, at: int) -> Path:
    """Leave what a push that broke off at a byte would leave; return the part file."""
    from edgegen.device.resume import PartFile

    part = Path(PartFile.of(reached.path("bundles/model.task"), source.stat()).path)
    part.parent.mkdir(exist_ok=True)
    part.write_bytes(source.read_bytes()[:at])
    return part


@pytest.mark.parametrize(
    ("at", "resumed"), [(MIB - 1, 0), (MIB, MIB), (3 * MIB + 5, 3 * MIB), (None, 5 * MIB)]
)
def test_a_push_goes_on_at_the_last_whole_mib(reach, way, source, at, resumed):
    reached = reach(way)
    broken_off(reached, source, at)
    result = one(reached, source)
    assert result.resumed_from == resumed
    assert result.sha256 == hashlib.sha256(source.read_bytes()).hexdigest()
    assert (reached.root / "bundles/model.task").read_bytes() == source.read_bytes()
    assert left_in(reached.root / "bundles") == ["model.task"]


@pytest.mark.parametrize("damaged", [0, 2, 4])
def test_only_what_is_right_is_kept(reach, way, source, damaged):
    reached = reach(way)
    part = broken_off(reached, source, 5 * MIB)
    content = bytearray(part.read_bytes())
    content[damaged * MIB + 77] ^= 1
    part.write_bytes(content)
    assert one(reached, source).resumed_from == damaged * MIB
    assert (reached.root / "bundles/model.task").read_bytes() == source.read_bytes()


def test_a_changed_source_does_not_go_on_from_the_old_one(reach, way, source):
    reached = reach(way)
    broken_off(reached, source, 3 * MIB)
    source.write_bytes(os.urandom(5 * MIB))
    assert one(reached, source).resumed_from == 0
    assert (reached.root / "bundles/model.task").read_bytes() == source.read_bytes()
    assert left_in(reached.root / "bundles") == ["model.task"], "the old part is removed"


def test_an_old_device_resumes_too(reach, source):
    reached = reach("adb-direct, old device")
    broken_off(reached, source, 3 * MIB)
    assert one(reached, source, verify=True).resumed_from == 3 * MIB
    assert (reached.root / "bundles/model.task").read_bytes() == source.read_bytes()


def test_a_device_without_raw_input_starts_anew_and_says_so(reach, source):
    reached = reach("adb-direct, older device")
    result = one(reached, source, verify=True)
    assert result.resumed_from == 0
    assert result.notes == ("the device is old: a push that breaks off starts anew",)
    assert (reached.root / "bundles/model.task").read_bytes() == source.read_bytes()


def test_a_command_that_reads_needs_a_service_for_bytes(reach):
    reached = reach("adb-direct, older device")
    with pytest.raises(NoRawInputError) as caught:
        reached.transport.shell("cat", stdin=io.BytesIO(b"x"))
    assert str(caught.value) == (
        f"{reached.transport.serial} is too old to take input for a command"
    )
    assert caught.value.hint == (
        "push files to it instead; they start anew where a connection breaks"
    )


NO_SHA256 = ("sha256sum", "toybox", "busybox", "openssl")


def test_without_sha256_another_hash_is_used_and_named(reach, source):
    reached = reach("adb-direct", missing=NO_SHA256)
    result = one(reached, source, verify=True)
    assert result.verified_by == "sha1"
    assert result.notes == ("the device has no sha256sum: compared by sha1",)
    assert one(reached, source).skipped


def test_without_any_hash_the_file_is_read_back_and_that_is_said(reach, source):
    reached = reach("adb-direct", missing=(*NO_SHA256, "sha1sum", "md5sum"))
    result = one(reached, source, verify=True)
    assert result.verified_by == "bytes"
    assert result.notes == (
        "the device has no program that hashes: nothing could be skipped",
        "verified by reading all of it back",
    )
    again = one(reached, source)
    assert not again.skipped
    assert again.verified_by is None


@pytest.mark.parametrize("missing", [(), (*NO_SHA256, "sha1sum", "md5sum")])
def test_a_byte_that_falls_over_on_the_way_is_found(reach, source, missing):
    reached = reach("adb-direct", missing=missing)
    reached.double.faults.arm(corrupt_at_received=3 * MIB)
    with pytest.raises(CorruptedError) as caught:
        one(reached, source, verify=True)
    assert re.fullmatch(
        rf"{reached.path('bundles')}/\.model\.task\.\w+\.part on {reached.transport.serial} has "
        rf"the hash [0-9a-f]{{64}}, expected {hashlib.sha256(source.read_bytes()).hexdigest()}",
        str(caught.value),
    )
    assert not (reached.root / "bundles/model.task").exists()
    assert one(reached, source, verify=True).resumed_from == (0 if missing else 2 * MIB)
    assert (reached.root / "bundles/model.task").read_bytes() == source.read_bytes()


def test_too_little_space_is_said_before_the_first_byte(reach, source):
    reached = reach("adb-direct", reported_free_bytes=3 * MIB)
    with pytest.raises(OutOfSpaceError) as caught:
        one(reached, source)
    assert str(caught.value) == (
        f"{reached.path('bundles')} on {reached.transport.serial} has too little space: "
        "5.0 MiB are needed, 3.0 MiB are free"
    )
    assert reached.double.faults.received < MIB
    assert left_in(reached.root / "bundles") == []


def test_what_is_there_already_needs_no_space(reach, source):
    reached = reach("adb-direct", reported_free_bytes=3 * MIB)
    broken_off(reached, source, 4 * MIB)
    assert one(reached, source).resumed_from == 4 * MIB


def test_a_disk_that_becomes_full(reach, way, source):
    if way == "local":
        pytest.skip("this machine's disk is not to be filled")
    reached = reach(way)
    reached.double.fill_disk(2 * MIB)
    with pytest.raises(DeviceFullError) as caught:
        one(reached, source)
    assert str(caught.value) == f"{reached.path('bundles')} on {reached.transport.serial} is full"
    assert not (reached.root / "bundles/model.task").exists()
    reached.double.empty_disk()
    assert one(reached, source).resumed_from == 2 * MIB
    assert (reached.root / "bundles/model.task").read_bytes() == source.read_bytes()


def test_a_connection_that_breaks_leaves_the_old_file(reach, source):
    reached = reach("adb-direct")
    one(reached, source)
    old = source.read_bytes()
    source.write_bytes(os.urandom(6 * MIB))
    reached.double.faults.arm(close_after_received=4 * MIB)
    with pytest.raises(ConnectionLostError) as caught:
        one(reached, source)
    assert str(caught.value).startswith(f"lost the connection to {reached.transport.serial}: ")
    assert (reached.root / "bundles/model.task").read_bytes() == old
    assert one(reached, source).resumed_from >= 2 * MIB
    assert (reached.root / "bundles/model.task").read_bytes() == source.read_bytes()


def test_a_source_that_changes_meanwhile(reach, source):
    reached = reach("adb-direct")
    reached.double.faults.bytes_per_s = 4 * MIB
    timer = threading.Timer(0.7, lambda: source.write_bytes(os.urandom(5 * MIB)))
    timer.start()
    with pytest.raises(SourceChangedError) as caught:
        one(reached, source)
    timer.join()
    assert str(caught.value) == f"{source} changed while it was pushed"
    assert left_in(reached.root / "bundles") == []


def test_a_folder_of_that_name(reached, source):
    (reached.root / "bundles/model.task").mkdir(parents=True)
    with pytest.raises(DeviceFileError) as caught:
        one(reached, source)
    assert str(caught.value) == (
        f"{reached.path('bundles/model.task')} on {reached.transport.serial}: "
        "it is there, and no file"
    )


def test_a_link_of_that_name_is_not_followed(reached, source, tmp_path):
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    (reached.root / "bundles").mkdir()
    (reached.root / "bundles/model.task").symlink_to(victim)
    with pytest.raises(PathRefusedError) as caught:
        one(reached, source)
    path = reached.path("bundles/model.task")
    assert str(caught.value) == (
        f"refused the path {path!r}: {path} is a link, which may lead out of "
        f"{reached.path('bundles')}"
    )
    assert victim.read_bytes() == b"mine"


class Recorder:
    """Remembers what progress was reported."""

    def __init__(self):
        self.stages, self.done = [], {}

    def start(self, name, total, unit):
        self.stages.append((name, total, unit))
        self.done[name] = 0

        def advance(amount):
            self.done[name] += amount

        return advance

    def finish(self, name):
        pass


def test_several_devices_at_once(tmp_path, home, source):
    """Two slow devices and one without space, and nobody waits for anybody."""
    recorder = Recorder()
    with ExitStack() as stack:
        doubles, ways = [], []
        for free in (None, None, 1):
            root = tmp_path / f"root-{len(doubles)}"
            root.mkdir()
            double = Adbd(root, reported_free_bytes=free)
            doubles.append(stack.enter_context(double))
            double.faults.bytes_per_s = 8 * MIB
            ways.append(stack.enter_context(reach_directly(double, home)))
        stack.enter_context(reporting(recorder))
        began = time.monotonic()
        assert list(push([source], ways[0])) == [doubles[0].serial]
        alone_s = time.monotonic() - began
        (doubles[0].root / DEFAULT_FOLDER.lstrip("/") / "model.task").unlink()
        began = time.monotonic()
        results = push([source], ways)
        together_s = time.monotonic() - began
    a, b, c = (double.serial for double in doubles)
    assert list(results) == [a, b, c]
    assert isinstance(results[c].error, OutOfSpaceError)
    assert together_s < 1.7 * alone_s
    for double in doubles[:2]:
        assert [file.path for file in results[double.serial].pushed] == [
            f"{DEFAULT_FOLDER}/model.task"
        ]
        pushed = double.root / DEFAULT_FOLDER.lstrip("/") / "model.task"
        assert pushed.read_bytes() == source.read_bytes()
    size = source.stat().st_size
    assert recorder.stages[0] == (f"push model.task to {a}", size, "B")
    assert recorder.done[f"push model.task to {a}"] == size


def test_sources_that_cannot_be_pushed(reach, tmp_path):
    reached = reach("local")
    with pytest.raises(EdgegenError) as caught:
        one(reached, tmp_path / "nothing")
    assert str(caught.value) == f"{tmp_path / 'nothing'} does not exist"
    with pytest.raises(EdgegenError) as caught:
        one(reached, tmp_path)
    assert str(caught.value) == f"{tmp_path} is no ordinary file"
    (tmp_path / "x").mkdir()
    for folder in (tmp_path, tmp_path / "x"):
        (folder / "same").write_bytes(b"")
    with pytest.raises(EdgegenError) as caught:
        push([tmp_path / "same", tmp_path / "x/same"], reached.transport)
    assert str(caught.value) == "two files are called same, and one folder cannot hold both"


def test_all_ways_are_tried():
    assert {"adb-direct", "adb-server", "local"} == {name.partition(",")[0] for name in WAYS}
