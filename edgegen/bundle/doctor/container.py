"""The file around the model: can engines find their way through it, and is it whole?

What each engine refuses was found by asking LiteRT-LM 0.18.1 (CPU, GPU delegate) and MediaPipe's
web engine 0.10.29 about bundles with one thing wrong (`tests/engines/test_doctor.py`).
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator

from edgegen.bundle.doctor.findings import Remark, failed, passed, skipped, warned
from edgegen.bundle.doctor.subject import Subject
from edgegen.bundle.litertlm_sections import SECTION_ALIGNMENT
from edgegen.bundle.reading import reading
from edgegen.contract import TASK_MODELS
from edgegen.errors import BundleError

MIB = 1024**2
# Read in any case: the tokenizer and what else is small.
SMALL_BYTES = 16 * MIB
_CHUNK_BYTES = 4 * MIB
_PAGE = 4096
_LEAD = bytes(4)
_ZIP = b"PK\x03\x04"

# What a message says of the file -> which engines refuse it, and how.
_REFUSALS = {
    "is compressed": "LiteRT-LM and MediaPipe's web engine refuse it: they map members as they "
    "lie (`Expected uncompressed zip archive`)",
    "is cut off": "no engine opens it",
}


def container(subject: Subject) -> Iterator[Remark]:
    """The file opens: directory, names, sizes, members that engines need."""
    try:
        bundle = subject.bundle
    except BundleError as error:
        said = [text for words, text in _REFUSALS.items() if words in error.message]
        yield failed("; ".join((error.message, *said)), error.hint)
        return
    size = subject.path.stat().st_size
    names = ", ".join(member.name for member in bundle.members)
    yield passed(f"a .{bundle.format} of {size / MIB:.1f} MiB with {names}")


def layout(subject: Subject) -> Iterator[Remark]:
    """Order and places of the members are such that engines find and map them."""
    bundle = subject.bundle
    if bundle.format == "task":
        yield from _task_layout(subject)
        return
    misplaced = [f"{m.name} ({m.offset})" for m in bundle.members if m.offset % SECTION_ALIGNMENT]
    if misplaced:
        yield warned(
            f"sections do not begin at a multiple of {SECTION_ALIGNMENT} bytes: "
            f"{', '.join(misplaced)}; LiteRT-LM 0.18 opens them on this machine, but no kernel can "
            "map them as they lie",
            "write it anew: edgegen bundle convert",
        )
    else:
        yield passed(f"every section begins at a multiple of {SECTION_ALIGNMENT} bytes")


def _task_layout(subject: Subject) -> Iterator[Remark]:
    with reading(subject.path), subject.path.open("rb") as file:
        head = file.read(8)
    good = True
    if head != _LEAD + _ZIP:
        good = False
        first = subject.bundle.members[0].name
        yield failed(
            f"the file begins with {head!r} and its first member is {first}, expected four zero "
            "bytes and then a zip: MediaPipe's web engine knows a .task by `PK` at byte 4 and says "
            "`No model format matched`; LiteRT-LM opens it",
            "write it anew with edgegen, or with MediaPipe's bundler; zip programs do not put the "
            "four bytes there",
        )
    for member in subject.bundle.members:
        if member.role not in TASK_MODELS:
            continue
        if member.offset % _PAGE:
            good = False
            words = "" if member.offset % 4 == 0 else ", and inside a word"
            yield warned(
                f"member {member.name} begins at byte {member.offset}, inside a page of memory"
                f"{words}; LiteRT-LM 0.18 and the web engine open it on this machine, but no "
                "kernel can map it as it lies",
                "write it anew: edgegen bundle convert",
            )
    if good:
        yield passed("four zero bytes, then the zip; models begin at a page of memory")


def checksums(subject: Subject) -> Iterator[Remark]:
    """The bytes are those that were written; small members, or all of them with `deep`."""
    bundle = subject.bundle
    if bundle.format != "task":
        yield skipped("a .litertlm has no checksums")
        return
    # The directory is known to be of a reasonable size: the bundle was opened.
    with reading(subject.path), zipfile.ZipFile(subject.path) as archive:
        expected = {info.filename: info.CRC for info in archive.infolist()}
    checked, left = [], []
    for member in bundle.members:
        if member.size > SMALL_BYTES and not subject.settings.deep:
            left.append(member.name)
            continue
        found = _crc(subject, member.offset, member.size)
        if found != expected[member.name]:
            yield failed(
                f"member {member.name} has the checksum {found:08x}, its directory says "
                f"{expected[member.name]:08x}: its bytes changed since it was written, and no "
                "engine looks",
                "download or copy it again",
            )
            return
        checked.append(member.name)
    rest = f"; not read: {', '.join(left)} (--deep reads all)" if left else ""
    yield passed(f"right for {', '.join(checked) or 'nothing'}{rest}")


def _crc(subject: Subject, offset: int, size: int) -> int:
    found = 0
    with reading(subject.path), subject.path.open("rb") as file:
        file.seek(offset)
        while size > 0 and (chunk := file.read(min(_CHUNK_BYTES, size))):
            found = zlib.crc32(chunk, found)
            size -= len(chunk)
    return found
