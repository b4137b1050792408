"""A name holds the whole result, or what it held before."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from edgegen.errors import OutputError
from edgegen.files import atomic_output, disk_errors, refuse_overwrite


def test_the_result_appears_whole_and_readable_as_usual(tmp_path: Path) -> None:
    path = tmp_path / "out"
    with atomic_output(path) as temporary:
        temporary.write_bytes(b"whole")
        assert not path.exists()
        assert temporary.parent == path.parent
    (tmp_path / "usual").touch()

    assert path.read_bytes() == b"whole"
    assert path.stat().st_mode == (tmp_path / "usual").stat().st_mode
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "usual"]


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_whatever_ends_it_early_leaves_the_old_content(
    tmp_path: Path, failure: type[BaseException]
) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"old")

    def end_early() -> None:
        with atomic_output(path, force=True) as temporary:
            temporary.write_bytes(b"half")
            raise failure

    with pytest.raises(failure):
        end_early()

    assert path.read_bytes() == b"old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out"]


def test_a_folder_as_output(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is a folder, expected a file name"):
        refuse_overwrite(tmp_path, force=True)


def test_a_device_is_never_replaced() -> None:
    with pytest.raises(OutputError, match="/dev/null is not an ordinary file"):
        refuse_overwrite(Path("/dev/null"), force=True)


def test_a_file_that_appears_meanwhile_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "out"

    def somebody_else_is_faster() -> None:
        with atomic_output(path) as temporary:
            temporary.write_bytes(b"ours")
            path.write_bytes(b"theirs")

    with pytest.raises(OutputError, match="exists"):
        somebody_else_is_faster()
    assert path.read_bytes() == b"theirs"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out"]


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="of the output does not exist") as raised:
        refuse_overwrite(tmp_path / "a" / "b", force=False)
    assert "mkdir -p" in (raised.value.hint or "")


def test_an_existing_file_needs_force(tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    refuse_overwrite(tmp_path / "out", force=True)
    with pytest.raises(OutputError, match="exists") as raised:
        refuse_overwrite(tmp_path / "out", force=False)
    assert "--force" in (raised.value.hint or "")


@pytest.mark.parametrize(
    ("number", "found"),
    [
        (errno.ENOSPC, "no space left while writing"),
        (errno.EDQUOT, "no space left while writing"),
        (errno.EFBIG, "no space left while writing"),
        (errno.EACCES, "cannot write"),
        (errno.EROFS, "cannot write"),
    ],
)
def test_the_systems_refusals_are_told_plainly(number: int, found: str) -> None:
    with pytest.raises(OutputError, match=found), disk_errors(Path("out")):
        raise OSError(number, os.strerror(number))


def test_other_system_errors_are_not_disguised() -> None:
    with pytest.raises(OSError, match="Interrupted"), disk_errors(Path("out")):
        raise OSError(errno.EINTR, os.strerror(errno.EINTR))
