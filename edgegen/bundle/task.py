"""Writing and reading MediaPipe `.task` bundles: a zip of stored, aligned members.

Models are copied through a small buffer, or moved where they already lie beside the bundle, so a
bundle of any size is written in constant memory, and each model's data starts at a page boundary
of the file, where an engine can map it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO

from edgegen.bundle.contents import Bundle, Contents, Foreign, ForeignPart, Part, require_crc
from edgegen.bundle.copying import Sums
from edgegen.bundle.llm_metadata import further_fields
from edgegen.bundle.metadata import metadata_bytes, parse_metadata, unknown_fields
from edgegen.bundle.parameters import METADATA_FIELDS, GenerationParameters
from edgegen.bundle.reading import read_member
from edgegen.bundle.side_section import (
    MAX_SIDE_SECTION_BYTES,
    SIDE_SECTION_MEMBER,
    merge_side_section,
    parse_side_section,
    side_section_bytes,
)
from edgegen.bundle.tokenizer import MAX_TOKENIZER_BYTES, SentencePieceTokenizer
from edgegen.bundle.zip_members import read_members
from edgegen.bundle.zip_writer import ZipWriter, data_start
from edgegen.contract import TASK_METADATA, TASK_MODEL, TASK_MODELS, TASK_TOKENIZER
from edgegen.errors import BundleError
from edgegen.progress import Advance

# Page size of the phones' kernels that use large pages; a multiple of the usual 4 KiB.
MODEL_ALIGNMENT = 16384
MAX_METADATA_BYTES = 1024**2
SUFFIX = ".task"

# MediaPipe's own bundler happens to begin with these bytes, and its web engine takes a file for
# a `.task` only if the zip's signature stands after them. To a zip reader they are nothing.
_LEAD = bytes(4)
_SMALL_ALIGNMENT = 4
_ROLES = (*TASK_MODELS, TASK_TOKENIZER, TASK_METADATA, SIDE_SECTION_MEMBER)


def model_start(contents: Contents, prepared: Mapping[str, bytes]) -> int:
    """Return the byte at which the data of the first model lies."""
    return data_start(len(_LEAD), TASK_MODEL, contents.models[TASK_MODEL].size, MODEL_ALIGNMENT)


def prepare(contents: Contents) -> dict[str, bytes]:
    """Return the members that are no models, in their order.

    Raises:
        BundleError: MediaPipe is missing, the tokenizer is none of SentencePiece's, or a text
            cannot be written.
    """
    tokenizer = contents.tokenizer
    if not isinstance(tokenizer, SentencePieceTokenizer):
        raise BundleError(
            f"{tokenizer.path} is a tokenizer.json, and a .task carries SentencePiece models",
            "convert it first (edgegen.bundle.tokenizers.convert_tokenizer), or write a .litertlm",
        )
    metadata = metadata_bytes(contents.parameters)
    if contents.foreign is not None and contents.foreign.format == "task":
        metadata += unknown_fields(contents.foreign.metadata)
    members = {TASK_TOKENIZER: tokenizer.proto, TASK_METADATA: metadata}
    if parse_metadata(metadata) != contents.parameters:
        members[SIDE_SECTION_MEMBER] = side_section_bytes(contents.parameters)
    return members


def write(
    contents: Contents,
    prepared: Mapping[str, bytes],
    file: IO[bytes],
    advance: Advance,
    *,
    adopted: Sums | None,
) -> None:
    """Write a `.task` to `file`, which is open for reading and writing.

    The order is that of MediaPipe's bundler: the model, tokenizer, METADATA, other models.

    Args:
        contents: What goes in.
        prepared: What `prepare` made of it.
        file: The file.
        advance: Is told of the models' bytes.
        adopted: The first model's checksums, if its data lies at `model_start` already.
    """
    file.write(_LEAD)
    writer = ZipWriter(file)
    for tag in (TASK_MODEL, None, *TASK_MODELS[1:]):
        if tag is None:
            for name, content in prepared.items():
                writer.store_bytes(name, content, _SMALL_ALIGNMENT)
            continue
        part = contents.models.get(tag)
        if part is None:
            continue
        if adopted is not None and tag == TASK_MODEL:
            writer.adopt(tag, part.size, adopted.crc, MODEL_ALIGNMENT)
            continue
        with part.path.open("rb") as source:
            source.seek(part.offset)
            crc = writer.store(tag, source, part.size, MODEL_ALIGNMENT, advance)
            require_crc(part, crc)
    for foreign in _foreign_parts(contents):
        part = foreign.part
        with part.path.open("rb") as source:
            source.seek(part.offset)
            crc = writer.store(foreign.name, source, part.size, _SMALL_ALIGNMENT, _silent)
            require_crc(part, crc)
    writer.close()


def read(path: Path) -> Bundle:
    """Open a `.task` bundle: check its directory and read its generation parameters.

    Raises:
        BundleError: the file does not exist, cannot be read, is not a bundle, is cut off, or
            lacks a member that engines need.
    """
    members = tuple(
        replace(member, role=member.name if member.name in _ROLES else None)
        for member in read_members(path)
    )
    bundle = Bundle(path, "task", members, GenerationParameters("", ()))
    for name in (TASK_MODEL, TASK_TOKENIZER, TASK_METADATA):
        bundle.member(name)
    metadata = read_member(path, bundle.member(TASK_METADATA), MAX_METADATA_BYTES)
    parameters = parse_metadata(metadata)
    side = bundle.find(SIDE_SECTION_MEMBER)
    if side is not None:
        told = parse_side_section(read_member(path, side, MAX_SIDE_SECTION_BYTES))
        parameters = merge_side_section(parameters, told)
    parts = tuple(
        ForeignPart(member.name, Part(path, member.offset, member.size, member.crc))
        for member in members
        if member.role is None
    )
    return replace(bundle, parameters=parameters, foreign=Foreign("task", metadata, parts))


def read_tokenizer(bundle: Bundle) -> SentencePieceTokenizer:
    """Return the tokenizer of a `.task`."""
    member = bundle.member(TASK_TOKENIZER)
    return SentencePieceTokenizer(
        bundle.path, read_member(bundle.path, member, MAX_TOKENIZER_BYTES)
    )


def _silent(_: int) -> None:
    """Small members do not count."""


def _foreign_parts(contents: Contents) -> tuple[ForeignPart, ...]:
    foreign = contents.foreign
    return foreign.parts if foreign is not None and foreign.format == "task" else ()


def not_carried(contents: Contents) -> Iterator[str]:
    """Yield, in words, what a `.task` has no place for that any engine would read."""
    parameters = contents.parameters
    hidden = [
        name
        for name, value in vars(parameters).items()
        if name not in METADATA_FIELDS
        and name not in ("sources", "stop_token_ids", "start_token_id", "template_tokens")
        and value != getattr(GenerationParameters("", ()), name)
    ]
    if hidden:
        yield (
            f"{', '.join(hidden)}: no engine reads them from a .task; they are kept in the member "
            f"{SIDE_SECTION_MEMBER}, for edgegen and the app"
        )
    hints = contents.hints
    if hints.llm_model_type != "generic_model":
        yield f"the model type {hints.llm_model_type}"
    for tag, backends in hints.backend_constraints.items():
        yield f"that {tag} may run on {', '.join(backends)} only"
    if hints.min_runtime_version is not None:
        yield f"the least runtime version, {hints.min_runtime_version}"
    if contents.foreign is not None and contents.foreign.format != "task":
        for part in contents.foreign.parts:
            told = {key: item.value for key, item in part.items.items()}
            yield f"the section {part.name} {told}"
        for name in further_fields(contents.foreign.metadata):
            if name != "jinja_prompt_template" or parameters.chat_template is None:
                yield f"{name} of LlmMetadata"
