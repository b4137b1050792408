"""Damaged and hostile `.litertlm` files are refused in words."""

from __future__ import annotations

import copy
import struct
from pathlib import Path

import pytest

from edgegen.bundle import SentencePieceTokenizer, open_bundle
from edgegen.bundle.litertlm_sections import MAX_HEADER_BYTES, Items, read_header
from edgegen.errors import BundleError
from tests.bundle.litertlm_files import full_bundle


@pytest.fixture
def bundle(tmp_path: Path, fake_tflite: Path, tokenizer: SentencePieceTokenizer) -> Path:
    return full_bundle(tmp_path, fake_tflite, tokenizer)


def changed(bundle: Path, at: int, content: bytes) -> Path:
    data = bytearray(bundle.read_bytes())
    data[at : at + len(content)] = content
    bundle.write_bytes(data)
    return bundle


@pytest.mark.parametrize(
    ("at", "content", "message"),
    [
        (8, struct.pack("<L", 2), "{path} is of format version 2.7.0, expected 1.x"),
        (24, struct.pack("<Q", 31), "{path} is damaged: its header would end at byte 31 of {size}"),
        (
            24,
            struct.pack("<Q", 2**40),
            "{path} is damaged: its header would end at byte 1099511627776 of {size}",
        ),
    ],
)
def test_a_damaged_header_is_told(bundle: Path, at: int, content: bytes, message: str) -> None:
    size = bundle.stat().st_size
    with pytest.raises(BundleError) as caught:
        open_bundle(changed(bundle, at, content))
    assert caught.value.message == message.format(path=bundle, size=size)


def test_no_byte_of_the_header_ends_in_a_traceback(bundle: Path) -> None:
    good = bundle.read_bytes()
    end = struct.unpack_from("<Q", good, 24)[0]
    told = set()
    for at in range(8, end):
        with bundle.open("r+b") as file:
            file.seek(at)
            file.write(b"\x4d")
            file.flush()
            try:
                read_header(bundle)
            except BundleError as error:
                told.add(error.message)
            file.seek(at)
            file.write(good[at : at + 1])
    assert f"{bundle} is damaged: it has a value of the unknown type 77" in told


def test_the_header_is_bounded(bundle: Path) -> None:
    with bundle.open("r+b") as file:
        file.truncate(MAX_HEADER_BYTES * 3)
    end = MAX_HEADER_BYTES + 33
    with pytest.raises(BundleError) as caught:
        open_bundle(changed(bundle, 24, struct.pack("<Q", end)))
    assert "its header would end at" in caught.value.message


def test_a_cut_off_bundle_is_told(bundle: Path) -> None:
    size = bundle.stat().st_size
    with bundle.open("r+b") as file:
        file.truncate(size - 1)
    with pytest.raises(BundleError) as caught:
        open_bundle(bundle)
    assert caught.value.message == (
        f"section GenericBinaryData of {bundle} should end at byte {size}, the file ends at "
        f"{size - 1}"
    )


def repacked(bundle: Path, change: object) -> Path:
    """Change the header's tables."""
    import flatbuffers
    from litert_lm_builder import litertlm_header_schema_py_generated as schema
    from litert_lm_builder.litertlm_builder import DType, Metadata

    def pairs(items: Items) -> list[object]:
        return [
            Metadata(key, item.value, DType.STRING).to_key_value_pair()
            for key, item in items.items()
        ]

    header = read_header(bundle)
    root = schema.LiteRTLMMetaDataT(
        systemMetadata=schema.SystemMetadataT(entries=pairs(header.system)),
        sectionMetadata=schema.SectionMetadataT(
            objects=[
                schema.SectionObjectT(
                    items=pairs(section.items),
                    dataType=getattr(schema.AnySectionDataType, section.data_type),
                    beginOffset=section.offset,
                    endOffset=section.offset + section.size,
                )
                for section in header.sections
            ]
        ),
    )
    change(root)  # type: ignore[operator]
    builder = flatbuffers.Builder(0)
    builder.Finish(root.Pack(builder))
    packed = bytes(builder.Output())
    assert 32 + len(packed) <= 16384
    data = bundle.read_bytes()
    head = data[:24] + struct.pack("<Q", 32 + len(packed)) + packed
    bundle.write_bytes(head.ljust(16384, b"\0") + data[16384:])
    return bundle


def test_sections_over_each_other_are_refused(bundle: Path) -> None:
    def change(root: object) -> None:
        objects = root.sectionMetadata.objects  # type: ignore[attr-defined]
        objects[1].beginOffset = objects[0].beginOffset

    with pytest.raises(BundleError) as caught:
        open_bundle(repacked(bundle, change))
    assert caught.value.message == (
        f"{bundle} is damaged: section TFLiteModel tf_lite_embedder begins inside section "
        "TFLiteModel tf_lite_prefill_decode"
    )


def test_two_sections_of_a_kind_are_refused(bundle: Path) -> None:
    def change(root: object) -> None:
        objects = root.sectionMetadata.objects  # type: ignore[attr-defined]
        objects[1].items = objects[0].items

    with pytest.raises(BundleError) as caught:
        open_bundle(repacked(bundle, change))
    assert (
        caught.value.message == f"{bundle} has several sections TFLiteModel tf_lite_prefill_decode"
    )


@pytest.mark.parametrize(
    ("count", "what"),
    [(65, "it lists 65 sections, expected at most 64")],
)
def test_lists_are_bounded(bundle: Path, count: int, what: str) -> None:
    def change(root: object) -> None:
        metadata = root.sectionMetadata  # type: ignore[attr-defined]
        metadata.objects = metadata.objects[:1] * count

    with pytest.raises(BundleError) as caught:
        open_bundle(repacked(bundle, change))
    assert caught.value.message == f"{bundle} is damaged: {what}"


def test_items_are_bounded(bundle: Path) -> None:
    def change(root: object) -> None:
        entries = root.systemMetadata  # type: ignore[attr-defined]
        entries.entries = entries.entries[:1] * 65

    with pytest.raises(BundleError) as caught:
        open_bundle(repacked(bundle, change))
    assert caught.value.message == (
        f"{bundle} is damaged: a list has 65 items, expected at most 64"
    )


@pytest.mark.parametrize("missing", ["LlmMetadataProto", "TFLiteModel", "SP_Tokenizer"])
def test_a_missing_section_is_told(bundle: Path, missing: str) -> None:
    from litert_lm_builder import litertlm_header_schema_py_generated as schema

    kind = getattr(schema.AnySectionDataType, missing)

    def change(root: object) -> None:
        metadata = root.sectionMetadata  # type: ignore[attr-defined]
        metadata.objects = [item for item in metadata.objects if item.dataType != kind]

    with pytest.raises(BundleError, match="has no member"):
        open_bundle(repacked(bundle, change))


def test_a_section_cannot_name_itself_the_model(bundle: Path) -> None:
    """Only the kind of a section tells what it is; a name of one's own choice does not."""

    def change(root: object) -> None:
        objects = root.sectionMetadata.objects  # type: ignore[attr-defined]
        objects[-1].items[0].value.value = "TF_LITE_PREFILL_DECODE"

    opened = open_bundle(repacked(bundle, change))

    assert opened.model_span[0] == 16384
    assert [member.role for member in opened.members][-1] is None


def test_two_side_sections_are_refused(bundle: Path) -> None:
    def change(root: object) -> None:
        objects = root.sectionMetadata.objects  # type: ignore[attr-defined]
        last = copy.copy(objects[-1])
        last.beginOffset = last.endOffset
        objects.append(last)

    with pytest.raises(BundleError) as caught:
        open_bundle(repacked(bundle, change))
    assert caught.value.message == (
        f"{bundle} has several sections that are its EDGEGEN_GENERATION"
    )


def test_another_file_is_not_a_litertlm(tmp_path: Path) -> None:
    path = tmp_path / "m.litertlm"
    path.write_bytes(b"LITERTL?" + bytes(100))
    with pytest.raises(BundleError) as caught:
        read_header(path)
    assert caught.value.message == (
        f"{path} (108 bytes) is not a .litertlm file: it begins with b'LITERTL?', expected "
        "b'LITERTLM'"
    )
