from __future__ import annotations

import struct
import warnings
import zipfile
from pathlib import Path

import pytest

from edgegen.bundle import open_bundle
from edgegen.bundle.zip_members import MAX_DIRECTORY_BYTES, MAX_MEMBERS, read_members
from edgegen.errors import BundleError


def archive(path: Path, *names: str, **options: int) -> Path:
    with zipfile.ZipFile(path, "w", **options) as made:
        for name in names:
            made.writestr(name, b"content " * 20)
    return path


def test_members_lie_where_they_say(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.zip", "ONE", "TWO")
    whole = path.read_bytes()

    for member in read_members(path):
        assert whole[member.offset : member.offset + member.size] == b"content " * 20


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", r"\(0 bytes\) is not a zip file"),
        (b"hello, I am text", "is not a zip file"),
        (b"PK\x03\x04" + bytes(50), "is cut off"),
        (b"\x1c\0\0\0TFL3" + bytes(50), "is a bare TFLite model"),
    ],
)
def test_files_of_other_kinds_are_called_by_name(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "x.task"
    path.write_bytes(content)
    with pytest.raises(BundleError, match=says) as caught:
        read_members(path)
    assert caught.value.hint


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(BundleError) as caught:
        open_bundle(tmp_path / "no.task")
    assert caught.value.message == (
        f"bundle {tmp_path / 'no.task'} does not exist, expected a .task or .litertlm file"
    )
    with pytest.raises(BundleError) as caught:
        open_bundle(tmp_path)
    assert caught.value.message == (
        f"bundle {tmp_path} is a folder, expected a .task or .litertlm file"
    )


def test_compressed_members_are_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.zip", "ONE", compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(BundleError, match=r"member ONE of .* is compressed") as caught:
        read_members(path)
    assert "zip -0" in str(caught.value.hint)


@pytest.mark.parametrize(
    "name", ["../evil", "a/../../evil", "/etc/passwd", "..\\evil", "C:\\evil", "\\evil", "a/.."]
)
def test_names_that_would_leave_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    path = archive(tmp_path / "a.zip", name)
    with pytest.raises(BundleError, match="would leave the folder"):
        read_members(path)


def test_one_name_for_two_members_is_refused(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile warns, too
        path = archive(tmp_path / "a.zip", "ONE", "ONE")
    with pytest.raises(BundleError, match="several members of the same name: ONE, ONE"):
        read_members(path)


def test_too_many_members_are_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.zip", *(f"M{i}" for i in range(MAX_MEMBERS + 1)))
    with pytest.raises(BundleError, match=f"has 65 members, expected at most {MAX_MEMBERS}"):
        read_members(path)


def test_a_directory_of_absurd_size_is_not_read(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.zip", "ONE")
    whole = bytearray(path.read_bytes())
    struct.pack_into("<L", whole, len(whole) - 22 + 12, MAX_DIRECTORY_BYTES + 1)
    path.write_bytes(whole)
    with pytest.raises(BundleError, match=f"a directory of {MAX_DIRECTORY_BYTES + 1} bytes"):
        read_members(path)


def test_encrypted_members_are_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.zip", "ONE")
    whole = bytearray(path.read_bytes())
    whole[whole.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(whole)
    with pytest.raises(BundleError, match="is encrypted"):
        read_members(path)


def test_a_member_that_reaches_beyond_the_file_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.zip", "ONE")
    whole = bytearray(path.read_bytes())
    directory = whole.index(b"PK\x01\x02")
    struct.pack_into("<LL", whole, directory + 20, 10**6, 10**6)
    path.write_bytes(whole)
    with pytest.raises(BundleError, match="is cut off: member ONE ends at byte 10000"):
        read_members(path)


def test_a_directory_that_points_nowhere_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.zip", "ONE", "TWO")
    whole = bytearray(path.read_bytes())
    struct.pack_into("<L", whole, whole.rindex(b"PK\x01\x02") + 42, 7)
    path.write_bytes(whole)
    with pytest.raises(BundleError, match="there is no member at byte 7, where its directory"):
        read_members(path)


def test_a_member_that_calls_itself_something_else_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.zip", "ONE")
    content = path.read_bytes()
    path.write_bytes(content.replace(b"ONE", b"OWN", 1))
    with pytest.raises(BundleError) as caught:
        read_members(path)
    assert caught.value.message == (
        f"{path} is damaged: its directory says ONE, stored; the member itself 'OWN', method 0"
    )


def test_members_over_each_other_are_refused(tmp_path: Path) -> None:
    inner = archive(tmp_path / "inner.zip", "TWO").read_bytes()
    inner = inner[: inner.index(b"PK\x01\x02")]
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as whole:
        whole.writestr("ONE", inner)
    content = path.read_bytes()
    with zipfile.ZipFile(path, "a") as whole:
        info = zipfile.ZipInfo("TWO")
        info.header_offset = content.index(inner)
        info.CRC = info.external_attr = 0
        info.file_size = info.compress_size = len(b"content " * 20)
        whole.filelist.append(info)
        whole.NameToInfo["TWO"] = info
        whole._didModify = True
    with pytest.raises(BundleError) as caught:
        read_members(path)
    assert caught.value.message == f"{path} is damaged: member TWO begins inside ONE"
