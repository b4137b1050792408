from __future__ import annotations

import errno
import hashlib
import os
import zlib
from pathlib import Path

import pytest

from edgegen.bundle import copying
from edgegen.bundle.copying import Sums, copy_range, hash_range


def ignore(_: int) -> None:
    pass


@pytest.fixture(params=["kernel", "refuses", "refuses later", "absent"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """How far the kernel copies by itself."""
    real, calls = os.copy_file_range, []

    def refuse(source: int, target: int, count: int, a: int, b: int) -> int:
        calls.append(count)
        if request.param == "refuses" or len(calls) > 2:
            raise OSError(errno.EXDEV, "cross-device link")
        return real(source, target, min(count, 1000), a, b)

    if request.param.startswith("refuses"):
        monkeypatch.setattr(os, "copy_file_range", refuse)
    elif request.param == "absent":
        monkeypatch.delattr(os, "copy_file_range")


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("size", [0, 1, 4095, 10_000])
def test_a_range_is_copied_and_hashed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(copying, "_STEP_BYTES", 3000)
    monkeypatch.setattr(copying, "_READ_BYTES", 700)
    content, told = os.urandom(10_100), []
    (tmp_path / "from").write_bytes(content)
    sums = Sums(crc=True, sha256=True)

    with (tmp_path / "from").open("rb") as source, (tmp_path / "to").open("w+b") as target:
        source.seek(50)
        target.write(b"before")
        copy_range(source, target, size, sums, told.append)
        assert source.tell() == 50 + size
        target.write(b"behind")

    copied = content[50 : 50 + size]
    assert (tmp_path / "to").read_bytes() == b"before" + copied + b"behind"
    assert (sums.crc, sums.sha256()) == (zlib.crc32(copied), hashlib.sha256(copied).digest())
    assert sum(told) == size


@pytest.mark.usefixtures("way")
def test_fewer_bytes_than_were_said_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "from").write_bytes(b"abc")
    with (tmp_path / "from").open("rb") as source, (tmp_path / "to").open("w+b") as target:
        with pytest.raises(EOFError, match=r"^2 of 5 bytes are missing$"):
            copy_range(source, target, 5, Sums(crc=True, sha256=False), ignore)
        source.seek(0)
        with pytest.raises(EOFError, match=r"^2 of 5 bytes are missing$"):
            hash_range(source, 5, Sums(crc=True, sha256=False), ignore)


def test_a_full_disk_is_no_reason_to_copy_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: int) -> int:
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(os, "copy_file_range", full)
    (tmp_path / "from").write_bytes(b"abc")
    with (
        (tmp_path / "from").open("rb") as source,
        (tmp_path / "to").open("w+b") as target,
        pytest.raises(OSError, match="no space left"),
    ):
        copy_range(source, target, 3, Sums(crc=False, sha256=False), ignore)


def test_only_what_is_asked_for_is_hashed() -> None:
    sums = Sums(crc=False, sha256=False)
    sums.update(b"abc")
    assert (sums.crc, sums.sha256()) == (0, b"")
