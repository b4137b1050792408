from __future__ import annotations

import io
import tempfile
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgegen.bundle.copying import Sums, hash_range
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
        writer.store_bytes(name, content, alignment)
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
    writer.adopt(name, len(content), zlib.crc32(content), alignment)
    for other, (data, its_alignment) in list(members.items())[1:]:
        writer.store_bytes(other, data, its_alignment)
    writer.close()

    assert file.getvalue() == whole


@given(content=st.binary(max_size=3000), skip=st.integers(0, 3000))
@settings(deadline=None)
def test_a_file_is_stored_from_where_it_stands(content: bytes, skip: int) -> None:
    rest = content[skip:]
    with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as file:
        source.write(content)
        source.seek(min(skip, len(content)))
        file.write(bytes(4))
        writer = ZipWriter(file)

        assert writer.store("M", source, len(rest), 64, ignore) == zlib.crc32(rest)

        writer.close()
        file.seek(0)
        assert file.read() == written({"M": (rest, 64)}).getvalue()


@pytest.mark.slow
def test_sizes_and_places_beyond_four_gigabytes(tmp_path: Path) -> None:
    path, size = tmp_path / "large.zip", 4 * 1024**3 + 5
    with path.open("w+b") as file:
        start = data_start(0, "LARGE", size, 16384)
        file.truncate(start + size)
        file.seek(start)
        sums = Sums(crc=True, sha256=False)
        hash_range(file, size, sums, ignore)
        file.seek(0)
        writer = ZipWriter(file)
        writer.adopt("LARGE", size, sums.crc, 16384)
        writer.store_bytes("SMALL", b"behind it", 4)
        writer.close()

    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.getinfo("LARGE").file_size == size
        assert archive.read("SMALL") == b"behind it"
    path.unlink()
