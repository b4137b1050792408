"""Writing and reading `.litertlm` bundles: LiteRT-LM's own format, with sections at 16 KiB.

The schema, the metadata's messages and the conventions are those of litert-lm-builder. The file is
laid out here, because its writer stamps each file with the time and a random id, shows no
progress, and copies what may lie in place. Here the same input gives the same bytes.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, cast

from edgegen import __version__
from edgegen.bundle.chat.runtime import runtime_template
from edgegen.bundle.contents import (
    Bundle,
    Contents,
    Foreign,
    ForeignPart,
    Member,
    Part,
    Tokenizer,
    require_crc,
)
from edgegen.bundle.copying import Sums, copy_range
from edgegen.bundle.litertlm_sections import (
    MAGIC,
    MODEL_TYPE,
    SECTION_ALIGNMENT,
    Item,
    Items,
    Section,
    read_header,
    text_items,
)
from edgegen.bundle.litertlm_tokenizer import (
    Pieces,
    carried_tokenizer,
    tokenizer_member,
)
from edgegen.bundle.llm_metadata import llm_metadata_bytes, merged_with_side, parse_llm_metadata
from edgegen.bundle.parameters import GenerationParameters
from edgegen.bundle.reading import read_member
from edgegen.bundle.side_section import (
    MAX_SIDE_SECTION_BYTES,
    SIDE_SECTION_MEMBER,
    parse_side_section,
    side_section_bytes,
)
from edgegen.contract import (
    HF_TOKENIZER,
    TASK_METADATA,
    TASK_MODEL,
    TASK_MODELS,
    TASK_TOKENIZER,
)
from edgegen.errors import BundleError
from edgegen.progress import Advance

SUFFIX = ".litertlm"
MAX_METADATA_BYTES = 4 * 1024**2

_HEADER_BEGIN, _HEADER_END_AT = 32, 24
_BACKEND_CONSTRAINT = "backend_constraint"
_OURS = ("uuid", "writer", "creation_timestamp")  # of the system metadata
_DTYPES = {"StringValue": "STRING"}  # litert-lm-builder's names where they differ
_SIDE_NAME = "name"  # the item that names a section of generic data
_ROLES = {
    "SP_Tokenizer": TASK_TOKENIZER,
    "HF_Tokenizer_Zlib": HF_TOKENIZER,
    "LlmMetadataProto": TASK_METADATA,
}


@dataclass(frozen=True)
class PreparedSection:
    """A section to be written: its kind, its items and where its bytes are."""

    number: int
    items: dict[str, Item]
    source: Part | bytes

    @property
    def size(self) -> int:
        """Bytes of it."""
        return self.source.size if isinstance(self.source, Part) else len(self.source)


def model_start(contents: Contents, prepared: list[PreparedSection]) -> int:
    """Return the byte at which the data of the first model lies."""
    return _places(prepared, contents)[0]


def write(
    contents: Contents,
    prepared: list[PreparedSection],
    file: IO[bytes],
    advance: Advance,
    *,
    adopted: Sums | None,
) -> None:
    """Write a `.litertlm` to `file`, which is open for reading and writing.

    Args:
        contents: What goes in.
        prepared: What `prepare` made of it.
        file: The file.
        advance: Is told of the models' bytes.
        adopted: The first model's checksums, if its data lies at `model_start` already.

    Raises:
        BundleError: a part that is copied is damaged.
        EOFError: a model's file is shorter than was said.
    """
    pieces = prepared
    places = _places(pieces, contents)
    digest = hashlib.sha256()
    for i, (piece, place) in enumerate(zip(pieces, places, strict=True)):
        told = sorted((key, item.kind, item.value) for key, item in piece.items.items())
        digest.update(f"{piece.number} {told} {piece.size}".encode())
        file.seek(place)
        if isinstance(piece.source, bytes):
            file.write(piece.source)
            digest.update(hashlib.sha256(piece.source).digest())
        elif i == 0 and adopted is not None:
            digest.update(adopted.sha256())
            file.seek(place + piece.size)
        else:
            digest.update(_copy(piece.source, file, advance))
    # Caches of prepared weights go by it: other content, other id.
    header = _header(pieces, places, uuid.UUID(bytes=digest.digest()[:16], version=4), contents)
    file.seek(0)
    file.write(
        MAGIC
        + b"".join(number.to_bytes(4, "little") for number in _format_version())
        + bytes(4)
        + (_HEADER_BEGIN + len(header)).to_bytes(8, "little")
        + header
    )


def read(path: Path) -> Bundle:
    """Open a `.litertlm`: check its header and read its metadata.

    Raises:
        BundleError: the file cannot be read, is damaged or cut off, or lacks a section that
            engines need.
    """
    header = read_header(path)
    members = tuple(_members(path, header.sections))
    bundle = Bundle(path, "litertlm", members, GenerationParameters("", ()))
    for role in (TASK_MODEL, TASK_METADATA):
        bundle.member(role)
    tokenizer_member(bundle)
    metadata = read_member(path, bundle.member(TASK_METADATA), MAX_METADATA_BYTES)
    parameters, hints = parse_llm_metadata(metadata, cast(Tokenizer, Pieces(bundle)))
    side = bundle.find(SIDE_SECTION_MEMBER)
    if side is not None:
        told = parse_side_section(read_member(path, side, MAX_SIDE_SECTION_BYTES))
        parameters = merged_with_side(parameters, told)
    constraints = {
        tag: tuple(word.strip() for word in str(said.value).split(","))
        for section in header.sections
        if (said := section.items.get(_BACKEND_CONSTRAINT)) and (tag := _tag(section))
    }
    parts = tuple(
        ForeignPart(
            section.data_type,
            Part(path, section.offset, section.size),
            section.number,
            section.items,
        )
        for section, member in zip(header.sections, members, strict=True)
        if member.role is None
    )
    items = {
        member.role: section.items
        for section, member in zip(header.sections, members, strict=True)
        if member.role is not None
    }
    return replace(
        bundle,
        parameters=parameters,
        hints=replace(hints, backend_constraints=constraints),
        foreign=Foreign("litertlm", metadata, parts, items, header.system),
    )


def not_carried(contents: Contents) -> Iterator[str]:
    """Yield, in words, what a `.litertlm` has no place for that any engine would read."""
    if contents.parameters.enable_bytes_to_unicode_mapping:
        yield "enable_bytes_to_unicode_mapping: LiteRT-LM knows no such mapping"
    if contents.foreign is not None and contents.foreign.format != "litertlm":
        for part in contents.foreign.parts:
            yield f"the member {part.name}"


def prepare(contents: Contents) -> list[PreparedSection]:
    """Return the sections: the model first, so that it can stay where it lies.

    Raises:
        BundleError: a value cannot be written.
        CheckpointError: the chat template is no Jinja, or takes too much time or memory.
    """
    parameters, hints, foreign = contents.parameters, contents.hints, _foreign(contents)

    def piece(role: str, kind: str, source: Part | bytes, **told: str) -> PreparedSection:
        kept = dict(foreign.items.get(role, {}))
        kept.pop(_BACKEND_CONSTRAINT, None)
        return PreparedSection(_numbers()[kind], {**kept, **text_items(told)}, source)

    pieces = []
    for tag in TASK_MODELS:
        if tag not in contents.models:
            continue
        told = {MODEL_TYPE: tag.lower()}
        if hints.backend_constraints.get(tag):
            told[_BACKEND_CONSTRAINT] = ",".join(hints.backend_constraints[tag])
        pieces.append(piece(tag, "TFLiteModel", contents.models[tag], **told))
    template = runtime_template(parameters)
    metadata = llm_metadata_bytes(parameters, hints, template, foreign.metadata)
    side = side_section_bytes(parameters)
    return [
        *pieces,
        piece(*carried_tokenizer(contents.tokenizer)),
        piece(TASK_METADATA, "LlmMetadataProto", metadata),
        piece(SIDE_SECTION_MEMBER, "GenericBinaryData", side, **{_SIDE_NAME: SIDE_SECTION_MEMBER}),
        *(PreparedSection(part.number, dict(part.items), part.part) for part in foreign.parts),
    ]


def _foreign(contents: Contents) -> Foreign:
    foreign = contents.foreign
    return foreign if foreign is not None and foreign.format == "litertlm" else Foreign("litertlm")


def _numbers() -> dict[str, int]:
    """Return the schema's kinds of sections."""
    from litert_lm_builder import litertlm_header_schema_py_generated as schema

    return {n: v for n, v in vars(schema.AnySectionDataType).items() if isinstance(v, int)}


def _places(pieces: list[PreparedSection], contents: Contents) -> list[int]:
    """Return where each section begins."""
    # The header's length does not depend on the numbers in it, as long as none is zero.
    end = _HEADER_BEGIN + len(_header(pieces, [1] * len(pieces), uuid.UUID(int=1), contents))
    places = []
    for piece in pieces:
        start = -(-end // SECTION_ALIGNMENT) * SECTION_ALIGNMENT
        places.append(start)
        end = start + piece.size
    return places


def _header(
    pieces: list[PreparedSection], places: list[int], name: uuid.UUID, contents: Contents
) -> bytes:
    import flatbuffers
    from litert_lm_builder import litertlm_header_schema_py_generated as schema
    from litert_lm_builder.litertlm_builder import DType, Metadata

    def entries(items: Items) -> list[Any]:
        return [
            Metadata(
                key, item.value, DType[_DTYPES.get(item.kind, item.kind.upper())]
            ).to_key_value_pair()
            for key, item in items.items()
        ]

    kept = {key: item for key, item in _foreign(contents).system.items() if key not in _OURS}
    system = {**kept, **text_items({"uuid": str(name), "writer": f"edgegen {__version__}"})}
    root = schema.LiteRTLMMetaDataT(
        systemMetadata=schema.SystemMetadataT(entries=entries(system)),
        sectionMetadata=schema.SectionMetadataT(
            objects=[
                schema.SectionObjectT(
                    items=entries(piece.items),
                    dataType=piece.number,
                    beginOffset=place,
                    endOffset=place + piece.size,
                )
                for piece, place in zip(pieces, places, strict=True)
            ]
        ),
    )
    builder = flatbuffers.Builder(SECTION_ALIGNMENT)
    builder.Finish(root.Pack(builder))
    return bytes(builder.Output())


def _format_version() -> tuple[int, int, int]:
    from litert_lm_builder import litertlm_core as core

    return (
        core.LITERTLM_MAJOR_VERSION,
        core.LITERTLM_MINOR_VERSION,
        core.LITERTLM_PATCH_VERSION,
    )


def _copy(part: Part, target: IO[bytes], advance: Advance) -> bytes:
    """Copy a part and return its SHA-256."""
    sums = Sums(crc=part.crc is not None, sha256=True)
    with part.path.open("rb") as source:
        source.seek(part.offset)
        copy_range(source, target, part.size, sums, advance)
    require_crc(part, sums.crc)
    return sums.sha256()


def _members(path: Path, sections: tuple[Section, ...]) -> Iterator[Member]:
    """Yield the sections as members; where there are two tokenizers, Hugging Face's counts."""
    hugging_face = any(section.data_type == "HF_Tokenizer_Zlib" for section in sections)
    taken = set()
    for section in sections:
        role = _ROLES.get(section.data_type) or _tag(section)
        name = section.items.get(_SIDE_NAME)
        if section.data_type == "GenericBinaryData" and name and name.value == SIDE_SECTION_MEMBER:
            role = SIDE_SECTION_MEMBER
        if role == TASK_TOKENIZER and hugging_face:
            role = None
        if role in taken:
            raise BundleError(
                f"{path} has several sections that are its {role}",
                "make the bundle again; engines would disagree about which one counts",
            )
        taken.update({role} - {None})
        yield Member(section.name, section.offset, section.size, role)


def _tag(section: Section) -> str | None:
    model_type = section.items.get(MODEL_TYPE)
    if section.data_type != "TFLiteModel" or model_type is None:
        return None
    tag = str(model_type.value).upper()
    return tag if tag in TASK_MODELS else None
