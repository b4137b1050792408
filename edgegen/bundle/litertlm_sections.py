"""The header of a `.litertlm` file that may have come from anywhere, read without trusting it.

The file is a header (magic, version, a flatbuffer that lists the sections), then sections at
multiples of 16 KiB. litert-lm-builder has the flatbuffer's schema; its own reader unpacks lists
of any length, so the few tables are walked here, with bounds.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgegen.bundle.reading import reading
from edgegen.errors import BundleError

MAGIC = b"LITERTLM"
MAJOR_VERSION = 1
SECTION_ALIGNMENT = 16384
MAX_HEADER_BYTES = 1024**2
MAX_SECTIONS, MAX_ITEMS = 64, 64
MODEL_TYPE = "model_type"  # the item that tells one model's section from another's

_ANYTHING = "GenericBinaryData"  # of which there may be several
_PROLOGUE = struct.Struct("<8s3L4xQ")  # magic, version, padding, end of the header


@dataclass(frozen=True)
class Item:
    """A value of metadata.

    Attributes:
        kind: The schema's name of its type, such as `StringValue`.
        value: It.
    """

    kind: str
    value: str | int | float | bool


Items = Mapping[str, Item]


def text_items(texts: Mapping[str, str]) -> dict[str, Item]:
    """Return texts as items."""
    return {key: Item("StringValue", text) for key, text in texts.items()}


@dataclass(frozen=True)
class Section:
    """A section.

    Attributes:
        data_type: The schema's name of its kind, such as `TFLiteModel`.
        number: The schema's number of it.
        items: Its own metadata.
        offset: Byte of the file at which its data starts.
        size: Bytes of data.
    """

    data_type: str
    number: int
    items: Items
    offset: int
    size: int

    @property
    def name(self) -> str:
        """What messages call it."""
        model_type = self.items.get(MODEL_TYPE)
        return f"{self.data_type} {model_type.value}" if model_type else self.data_type


@dataclass(frozen=True)
class Header:
    """What the header says.

    Attributes:
        version: Of the format: major, minor, patch.
        system: Metadata of the whole file.
        sections: In the order of the file's list.
    """

    version: tuple[int, int, int]
    system: Items
    sections: tuple[Section, ...]


def read_header(path: Path) -> Header:
    """Read the header of a `.litertlm` file.

    Raises:
        BundleError: it cannot be read, is no such file, is of another version, cut off,
            damaged, or lists sections that lie outside the file or over each other.
    """
    with reading(path):
        size = path.stat().st_size
        with path.open("rb") as file:
            prologue = file.read(_PROLOGUE.size)
            if len(prologue) < _PROLOGUE.size or not prologue.startswith(MAGIC):
                raise BundleError(
                    f"{path} ({size} bytes) is not a .litertlm file: it begins with "
                    f"{prologue[:8]!r}, expected {MAGIC!r}",
                    "pass the file that edgegen wrote",
                )
            _, *version, end = _PROLOGUE.unpack(prologue)
            if version[0] != MAJOR_VERSION:
                raise BundleError(
                    f"{path} is of format version {'.'.join(map(str, version))}, expected "
                    f"{MAJOR_VERSION}.x",
                    "a newer edgegen may know it",
                )
            if not _PROLOGUE.size < end <= min(size, _PROLOGUE.size + MAX_HEADER_BYTES):
                raise _damaged(path, f"its header would end at byte {end} of {size}")
            packed = file.read(end - _PROLOGUE.size)
    try:
        system, sections = _parse(packed)
    except (
        struct.error,
        IndexError,
        ValueError,
        TypeError,
        AttributeError,  # what is absent reads as None
        OverflowError,
    ) as error:
        raise _damaged(path, str(error)) from error
    _check_places(path, sections, end, size)
    return Header((version[0], version[1], version[2]), system, sections)


def _damaged(path: Path, what: str) -> BundleError:
    return BundleError(f"{path} is damaged: {what}", "build, download or copy the bundle again")


def _check_places(path: Path, sections: tuple[Section, ...], header_end: int, size: int) -> None:
    end, before = header_end, "the header"
    for section in sorted(sections, key=lambda section: section.offset):
        if section.offset < end:
            raise _damaged(path, f"section {section.name} begins inside {before}")
        end, before = section.offset + section.size, f"section {section.name}"
        if section.size < 0 or end > size:
            raise BundleError(
                f"section {section.name} of {path} should end at byte {end}, the file ends at "
                f"{size}",
                "it is cut off or damaged: download or copy it again",
            )
    names = [section.name for section in sections if section.data_type != _ANYTHING]
    for name in names:
        if names.count(name) > 1:
            raise BundleError(
                f"{path} has several sections {name}",
                "make the bundle again; engines would disagree about which one counts",
            )


def _parse(packed: bytes) -> tuple[dict[str, Item], tuple[Section, ...]]:
    from litert_lm_builder import litertlm_header_schema_py_generated as schema

    types = {
        value: name
        for name, value in vars(schema.AnySectionDataType).items()
        if isinstance(value, int)
    }
    root = schema.LiteRTLMMetaData.GetRootAs(packed, 0)
    system = root.SystemMetadata()
    entries = {} if system is None else _items(system.EntriesLength(), system.Entries, schema)
    listed = root.SectionMetadata()
    count = 0 if listed is None else listed.ObjectsLength()
    if count > MAX_SECTIONS:
        raise ValueError(f"it lists {count} sections, expected at most {MAX_SECTIONS}")
    sections = []
    for i in range(count):
        entry = listed.Objects(i)
        kind = types.get(entry.DataType(), f"type {entry.DataType()}")
        begin, end = entry.BeginOffset(), entry.EndOffset()
        items = _items(entry.ItemsLength(), entry.Items, schema)
        sections.append(Section(kind, entry.DataType(), items, begin, end - begin))
    return entries, tuple(sections)


def _items(count: int, item: Callable[[int], Any], schema: Any) -> dict[str, Item]:
    if count > MAX_ITEMS:
        raise ValueError(f"a list has {count} items, expected at most {MAX_ITEMS}")
    return dict(_pairs(count, item, schema))


def _pairs(count: int, item: Callable[[int], Any], schema: Any) -> Iterator[tuple[str, Item]]:
    kinds = {value: name for name, value in vars(schema.VData).items() if isinstance(value, int)}
    for i in range(count):
        pair = item(i)
        table = pair.Value()
        if table is None:
            continue
        if pair.ValueType() not in kinds:
            raise ValueError(f"it has a value of the unknown type {pair.ValueType()}")
        kind = kinds[pair.ValueType()]
        holder = getattr(schema, kind)()
        holder.Init(table.Bytes, table.Pos)
        value = holder.Value()
        if isinstance(value, bytes):
            value = value.decode("utf-8")
        yield pair.Key().decode("utf-8"), Item(kind, value)
