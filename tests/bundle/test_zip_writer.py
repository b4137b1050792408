from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgegen.bundle.zip_writer import ZipWriter, data_start

NAMES = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ_", min_size=1, max_size=30)
MEMBERS = st.dictionaries(
    NAMES, st.tuples(st.binary(max_size=3000), st.sampled_from([4, 64, 16384])), max_size=6
)


def ignore(_: int) -> None:
    pass


def written(members: dict[str, tuple[bytes, int]], lead: int = 4) -> io.BytesIO:
    file = io.BytesIO(bytes(lead))
    file.seek(lead)
    writer = ZipWriter(file)
    for name, (content, alignment) in members.items():
        writer.store(name, io.BytesIO(content), len(content), alignment, ignore)
    writer.close()
    return file


@given(members=MEMBERS, lead=st.integers(0, 9))
@settings(deadline=None)
def test_zipfile_reads_what_was_written(members: dict[str, tuple[bytes, int]], lead: int) -> None:
    file = written(members, lead)

    with zipfile.ZipFile(file) as archive:
        assert archive.testzip() is None
        assert {i.filename: archive.read(i) for i in archive.infolist()} == {
            name: content for name, (content, _) in members.items()
        }


@given(members=MEMBERS.filter(bool))
@settings(deadline=None)
def test_data_lies_where_it_was_said_and_may_lie_there_before(
    members: dict[str, tuple[bytes, int]],
) -> None:
    whole = written(members).getvalue()
    name, (content, alignment) = next(iter(members.items()))
    start = data_start(4, name, len(content), alignment)
    assert start % alignment == 0
    assert whole[start : start + len(content)] == content

    file = io.BytesIO(bytes(start) + content)
    file.seek(4)
    writer = ZipWriter(file)
    writer.store(name, None, len(content), alignment, ignore)
    for other, (data, its_alignment) in list(members.items())[1:]:
        writer.store(other, io.BytesIO(data), len(data), its_alignment, ignore)
    writer.close()

    assert file.getvalue() == whole


def test_missing_bytes_are_an_error() -> None:
    with pytest.raises(EOFError, match=r"^2 of 5 bytes of M are missing$"):
        ZipWriter(io.BytesIO()).store("M", io.BytesIO(b"abc"), 5, 4, ignore)


def test_missing_bytes_in_place_are_an_error() -> None:
    file = io.BytesIO(bytes(data_start(0, "M", 5, 4)) + b"abc")
    with pytest.raises(EOFError, match=r"^2 of 5 bytes of M are missing$"):
        ZipWriter(file).store("M", None, 5, 4, ignore)


@pytest.mark.slow
def test_sizes_and_places_beyond_four_gigabytes(tmp_path: Path) -> None:
    path, size = tmp_path / "large.zip", 4 * 1024**3 + 5
    with path.open("w+b") as file:
        file.truncate(data_start(0, "LARGE", size, 16384) + size)
        writer = ZipWriter(file)
        writer.store("LARGE", None, size, 16384, ignore)
        writer.store("SMALL", io.BytesIO(b"behind it"), 9, 4, ignore)
        writer.close()

    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.getinfo("LARGE").file_size == size
        assert archive.read("SMALL") == b"behind it"
    path.unlink()
