"""Writing and reading `.litertlm` bundles: LiteRT-LM's own format, with sections at 16 KiB.

The schema, the metadata's messages and the conventions are those of litert-lm-builder. The file is
laid out here, because its writer stamps each file with the time and a random id, shows no
progress, and copies what may lie in place. Here the same input gives the same bytes.
"""

from __future__ import annotations

import hashlib
import uuid
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from edgegen import __version__
from edgegen.bundle.chat.runtime import runtime_template
from edgegen.bundle.contents import Bundle, Contents, Foreign, Member, Part, Tokenizer
from edgegen.bundle.litertlm_sections import (
    MAGIC,
    MODEL_TYPE,
    SECTION_ALIGNMENT,
    Section,
    read_header,
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
from edgegen.bundle.tokenizer import MAX_TOKENIZER_BYTES, SentencePieceTokenizer
from edgegen.bundle.tokenizers.hugging_face import HfTokenizer
from edgegen.bundle.tokenizers.tokenizer_json import parse_tokenizer_json
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
_COPY_BYTES = 4 * 1024**2
_BACKEND_CONSTRAINT = "backend_constraint"
_SIDE_NAME = "name"  # the item that names a section of generic data
_ROLES = {
    "SP_Tokenizer": TASK_TOKENIZER,
    "HF_Tokenizer_Zlib": HF_TOKENIZER,
    "LlmMetadataProto": TASK_METADATA,
}


@dataclass(frozen=True)
class _Piece:
    """A section to be written: its kind, its items and where its bytes are."""

    data_type: str
    items: dict[str, str]
    source: Part | bytes

    @property
    def size(self) -> int:
        return self.source.size if isinstance(self.source, Part) else len(self.source)


def model_start(contents: Contents) -> int:
    """Return the byte at which the data of the first model lies."""
    return _places(_pieces(contents))[0]


def write(contents: Contents, file: IO[bytes], advance: Advance, *, in_place: bool) -> None:
    """Write a `.litertlm` to `file`, which is open for reading and writing.

    Args:
        contents: What goes in.
        file: The file.
        advance: Is told of the models' bytes.
        in_place: The first model's data lies at `model_start` of `file` already.

    Raises:
        BundleError: something cannot be written.
        EOFError: a model's file is shorter than was said.
    """
    pieces = _pieces(contents)
    places = _places(pieces)
    digest = hashlib.sha256()
    for i, (piece, place) in enumerate(zip(pieces, places, strict=True)):
        digest.update(f"{piece.data_type} {sorted(piece.items.items())} {piece.size}".encode())
        file.seek(place)
        if i == 0 and in_place:
            _pass(file, None, piece.size, digest, advance)
        elif isinstance(piece.source, Part):
            with piece.source.path.open("rb") as source:
                source.seek(piece.source.offset)
                _pass(source, file, piece.size, digest, advance)
        else:
            file.write(piece.source)
            digest.update(piece.source)
    # Caches of prepared weights go by it: other content, other id.
    name = str(uuid.UUID(bytes=digest.digest()[:16], version=4))
    header = _header(pieces, places, name)
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
    members = tuple(_member(section) for section in header.sections)
    bundle = Bundle(path, "litertlm", members, GenerationParameters("", ()))
    for role in (TASK_MODEL, TASK_METADATA):
        bundle.member(role)
    tokenizer = read_tokenizer(bundle)
    metadata = read_member(path, bundle.member(TASK_METADATA), MAX_METADATA_BYTES)
    parameters, hints = parse_llm_metadata(metadata, tokenizer)
    side = bundle.find(SIDE_SECTION_MEMBER)
    if side is not None:
        told = parse_side_section(read_member(path, side, MAX_SIDE_SECTION_BYTES))
        parameters = merged_with_side(parameters, told)
    constraints = {
        tag: tuple(word.strip() for word in str(said).split(","))
        for section in header.sections
        if (said := section.items.get(_BACKEND_CONSTRAINT)) and (tag := _tag(section))
    }
    parts = tuple(
        (
            section.data_type,
            {key: str(item) for key, item in section.items.items()},
            Part(path, section.offset, section.size),
        )
        for section, member in zip(header.sections, members, strict=True)
        if member.role is None
    )
    return replace(
        bundle,
        parameters=parameters,
        hints=replace(hints, backend_constraints=constraints),
        foreign=Foreign("litertlm", metadata, parts),
    )


def read_tokenizer(bundle: Bundle) -> Tokenizer:
    """Return the tokenizer of a `.litertlm`.

    Raises:
        BundleError: there is none, or it is damaged.
        TokenizerError: it is not what its section says.
    """
    member = bundle.find(HF_TOKENIZER)
    if member is not None:
        data = read_member(bundle.path, member, MAX_TOKENIZER_BYTES)
        return HfTokenizer(bundle.path, parse_tokenizer_json(bundle.path, _unpacked(bundle, data)))
    member = bundle.member(TASK_TOKENIZER)
    return SentencePieceTokenizer(
        bundle.path, read_member(bundle.path, member, MAX_TOKENIZER_BYTES)
    )


def not_carried(contents: Contents) -> Iterator[str]:
    """Yield, in words, what a `.litertlm` has no place for that any engine would read."""
    if contents.parameters.enable_bytes_to_unicode_mapping:
        yield "enable_bytes_to_unicode_mapping: LiteRT-LM knows no such mapping"
    if contents.foreign is not None and contents.foreign.format != "litertlm":
        for name, _, _ in contents.foreign.parts:
            yield f"the member {name}"


def _pieces(contents: Contents) -> list[_Piece]:
    """Return the sections: the model first, so that it can stay where it lies."""
    parameters, hints = contents.parameters, contents.hints
    pieces = []
    for tag in TASK_MODELS:
        if tag not in contents.models:
            continue
        items = {MODEL_TYPE: tag.lower()}
        if hints.backend_constraints.get(tag):
            items[_BACKEND_CONSTRAINT] = ",".join(hints.backend_constraints[tag])
        pieces.append(_Piece("TFLiteModel", items, contents.models[tag]))
    template = runtime_template(parameters)
    foreign = contents.foreign
    if foreign is None or foreign.format != "litertlm":
        foreign = Foreign("litertlm")
    metadata = llm_metadata_bytes(parameters, hints, template, foreign.metadata)
    side = side_section_bytes(parameters)
    return [
        *pieces,
        _tokenizer_piece(contents.tokenizer),
        _Piece("LlmMetadataProto", {}, metadata),
        _Piece("GenericBinaryData", {_SIDE_NAME: SIDE_SECTION_MEMBER}, side),
        *(_Piece(kind, dict(items), part) for kind, items, part in foreign.parts),
    ]


def _tokenizer_piece(tokenizer: Tokenizer) -> _Piece:
    if isinstance(tokenizer, SentencePieceTokenizer):
        return _Piece("SP_Tokenizer", {}, tokenizer.proto)
    content = tokenizer.file.text.encode("utf-8")
    packed = len(content).to_bytes(8, "little") + zlib.compress(content)
    return _Piece("HF_Tokenizer_Zlib", {}, packed)


def _unpacked(bundle: Bundle, data: bytes) -> bytes:
    """Return the tokenizer.json of its section: its size in 8 bytes, then zlib's."""
    size = int.from_bytes(data[:8], "little")
    unpack = zlib.decompressobj()
    try:
        # No more than that, whatever it would become.
        content = unpack.decompress(data[8:], min(size, MAX_TOKENIZER_BYTES) + 1)
    except zlib.error as error:
        raise BundleError(
            f"the tokenizer of {bundle.path} is damaged: {error}", "download or copy it again"
        ) from error
    if len(content) != size or not unpack.eof:
        raise BundleError(
            f"the tokenizer of {bundle.path} should have {size} bytes unpacked, and has not",
            "download or copy the bundle again",
        )
    return content


def _places(pieces: list[_Piece]) -> list[int]:
    """Return where each section begins."""
    # The header's length does not depend on the numbers in it, as long as none is zero.
    end = _HEADER_BEGIN + len(_header(pieces, [1] * len(pieces), str(uuid.UUID(int=1))))
    places = []
    for piece in pieces:
        start = -(-end // SECTION_ALIGNMENT) * SECTION_ALIGNMENT
        places.append(start)
        end = start + piece.size
    return places


def _header(pieces: list[_Piece], places: list[int], name: str) -> bytes:
    import flatbuffers
    from litert_lm_builder import litertlm_header_schema_py_generated as schema
    from litert_lm_builder.litertlm_builder import DType, Metadata

    def entries(items: dict[str, str]) -> list[Any]:
        return [
            Metadata(key, value, DType.STRING).to_key_value_pair() for key, value in items.items()
        ]

    system = {"uuid": name, "writer": f"edgegen {__version__}"}
    root = schema.LiteRTLMMetaDataT(
        systemMetadata=schema.SystemMetadataT(entries=entries(system)),
        sectionMetadata=schema.SectionMetadataT(
            objects=[
                schema.SectionObjectT(
                    items=entries(piece.items),
                    dataType=getattr(schema.AnySectionDataType, piece.data_type),
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


def _pass(
    source: IO[bytes], target: IO[bytes] | None, size: int, digest: Any, advance: Advance
) -> None:
    left = size
    while left:
        chunk = source.read(min(_COPY_BYTES, left))
        if not chunk:
            raise EOFError(f"{left} of {size} bytes are missing")
        if target is not None:
            target.write(chunk)
        digest.update(chunk)
        left -= len(chunk)
        advance(len(chunk))


def _member(section: Section) -> Member:
    role = _ROLES.get(section.data_type) or _tag(section)
    if section.data_type == "GenericBinaryData" and section.items.get(_SIDE_NAME):
        role = str(section.items[_SIDE_NAME])
    return Member(section.name, section.offset, section.size, role)


def _tag(section: Section) -> str | None:
    if section.data_type != "TFLiteModel":
        return None
    tag = str(section.items.get(MODEL_TYPE, "")).upper()
    return tag if tag in TASK_MODELS else None
