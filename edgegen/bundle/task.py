"""Writing and opening MediaPipe `.task` bundles: a zip of stored, aligned members.

The model is copied through a small buffer, so a bundle of any size is written in constant
memory, and its data starts at a page boundary of the file, where an engine can map it.
"""

from __future__ import annotations

import io
import shlex
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from edgegen.bundle.generation import GenerationParameters, check_tokens
from edgegen.bundle.metadata import metadata_bytes, parse_metadata
from edgegen.bundle.reading import reading
from edgegen.bundle.tokenizer import MAX_TOKENIZER_BYTES, SentencePieceTokenizer
from edgegen.bundle.zip_members import Member, read_member, read_members
from edgegen.contract import TASK_METADATA, TASK_MODEL, TASK_TOKENIZER
from edgegen.errors import BundleError, OutputError
from edgegen.files import atomic_output, refuse_overwrite
from edgegen.progress import stage

# Page size of the phones' kernels that use large pages; a multiple of the usual 4 KiB.
MODEL_ALIGNMENT = 16384
MAX_METADATA_BYTES = 1024**2
TFLITE_IDENTIFIER = b"TFL3"  # at byte 4 of every TFLite file
SUFFIX = ".task"

# MediaPipe's own bundler happens to begin with these bytes, and its web engine takes a file for
# a `.task` only if the zip's signature stands after them. To a zip reader they are nothing.
_LEAD = bytes(4)
_COPY_BYTES = 4 * 1024**2
# Zip's own earliest date: the bytes depend on the content alone.
_TIMESTAMP = (1980, 1, 1, 0, 0, 0)
_ALIGNMENT_FIELD = 0xD935  # extra field that Android's zipalign pads with
_LOCAL_HEADER_BYTES, _ZIP64_FIELD_BYTES = 30, 20


@dataclass(frozen=True)
class Bundle:
    """An opened bundle. Nothing but its directory and METADATA has been read.

    Attributes:
        path: The `.task` file.
        members: What it holds, in the order of the file.
        parameters: The generation parameters of METADATA.
    """

    path: Path
    members: tuple[Member, ...]
    parameters: GenerationParameters

    @property
    def model_span(self) -> tuple[int, int]:
        """Offset and length, in bytes, of the TFLite model inside the file."""
        member = self.member(TASK_MODEL)
        return member.offset, member.size

    @property
    def tokenizer(self) -> SentencePieceTokenizer:
        """The tokenizer that the engine will use, read anew at each call."""
        member = self.member(TASK_TOKENIZER)
        return SentencePieceTokenizer(
            self.path, read_member(self.path, member, MAX_TOKENIZER_BYTES)
        )

    def member(self, name: str) -> Member:
        """Return the member of that name.

        Raises:
            BundleError: there is none.
        """
        for member in self.members:
            if member.name == name:
                return member
        raise BundleError(
            f"{self.path} has no member {name}, it holds: "
            f"{', '.join(member.name for member in self.members) or 'nothing'}",
            "make the bundle again; this one cannot run",
        )


def write_bundle(
    tflite_path: str | Path,
    tokenizer: SentencePieceTokenizer,
    parameters: GenerationParameters,
    output: str | Path,
    *,
    force: bool = False,
) -> Bundle:
    """Write a `.task` bundle and return it opened.

    The bytes depend only on the model, the tokenizer and the parameters. Reports the stage
    `bundle` in bytes.

    Args:
        tflite_path: The multi-signature model.
        tokenizer: What `open_tokenizer` returned.
        parameters: Start and stop tokens and prompt texts.
        output: File to write; it appears only when it is complete.
        force: Replace `output` if it exists.

    Raises:
        BundleError: `tflite_path` is no TFLite model, or MediaPipe is missing.
        TokenizerError: a start or stop token is not a piece of the tokenizer.
        OutputError: `output` exists, does not end in `.task`, or cannot be written.
    """
    model, target = Path(tflite_path), Path(output)
    check_bundle_name(target)
    refuse_overwrite(target, force=force)
    check_tokens(parameters, tokenizer)
    model_size = _tflite_size(model)
    metadata = metadata_bytes(parameters)
    total = model_size + len(tokenizer.proto) + len(metadata)
    with (
        stage("bundle", total, "B") as advance,
        atomic_output(target, force=force) as temporary,
        temporary.open("wb") as file,
        _archive(file) as archive,
    ):
        with model.open("rb") as source:
            _store(archive, TASK_MODEL, model_size, source, advance)
        for name, content in ((TASK_TOKENIZER, tokenizer.proto), (TASK_METADATA, metadata)):
            _store(archive, name, len(content), io.BytesIO(content), advance)
    return open_bundle(target)


def check_bundle_name(path: Path) -> None:
    """Refuse an output that engines would not take for a bundle: they go by its extension.

    Raises:
        OutputError: the name does not end in `.task`.
    """
    if path.suffix != SUFFIX:
        raise OutputError(
            f"output {path} does not end in {SUFFIX}, engines know a bundle by that",
            f"name it {path.name}{SUFFIX}",
        )


def open_bundle(path: str | Path) -> Bundle:
    """Open a `.task` bundle: check its directory and read its generation parameters.

    Raises:
        BundleError: the file does not exist, cannot be read, is not a bundle, is cut off,
            lacks a member that engines need, or has a name that engines do not open.
    """
    source = Path(path)
    members = read_members(source)
    bundle = Bundle(source, members, GenerationParameters("", ()))
    for name in (TASK_MODEL, TASK_TOKENIZER, TASK_METADATA):
        bundle.member(name)
    with reading(source), source.open("rb") as file:
        file.seek(bundle.model_span[0] + 4)
        identifier = file.read(4)
    if identifier != TFLITE_IDENTIFIER:
        raise BundleError(
            f"member {TASK_MODEL} of {source} is not a TFLite model: it has {identifier!r} at "
            f"byte 4, expected {TFLITE_IDENTIFIER!r}",
            "make the bundle again",
        )
    metadata = read_member(source, bundle.member(TASK_METADATA), MAX_METADATA_BYTES)
    if source.suffix != SUFFIX:
        raise BundleError(
            f"{source} is a bundle, but its name does not end in {SUFFIX} and engines go by that",
            f"rename it: mv {shlex.quote(str(source))} {shlex.quote(f'{source}{SUFFIX}')}",
        )
    return Bundle(source, members, parse_metadata(metadata))


def _archive(file: IO[bytes]) -> zipfile.ZipFile:
    file.write(_LEAD)
    return zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True)


def _tflite_size(path: Path) -> int:
    with reading(path):
        if not path.is_file():
            raise BundleError(f"model {path} does not exist", "convert the checkpoint first")
        with path.open("rb") as file:
            head = file.read(8)
    if head[4:] != TFLITE_IDENTIFIER:
        raise BundleError(
            f"{path} is not a TFLite model: it has {head[4:]!r} at byte 4, "
            f"expected {TFLITE_IDENTIFIER!r}",
            "pass the .tflite file that the conversion wrote",
        )
    return path.stat().st_size


def _store(
    archive: zipfile.ZipFile,
    name: str,
    size: int,
    source: IO[bytes],
    advance: Callable[[int], None],
) -> None:
    """Append a stored member; the model's data begins at a multiple of `MODEL_ALIGNMENT`."""
    info = zipfile.ZipInfo(name, _TIMESTAMP)
    info.compress_type = zipfile.ZIP_STORED
    info.create_system = 3  # Unix, wherever this runs
    info.external_attr = 0o644 << 16
    # 32-bit sizes as long as they fit: zip64 only for those who need it. zipfile draws the
    # line at 2 GiB less 5 % unless told.
    zip64 = size * 1.05 > zipfile.ZIP64_LIMIT
    alignment = MODEL_ALIGNMENT if name == TASK_MODEL else 4
    start = archive.fp.tell() + _LOCAL_HEADER_BYTES + len(name)  # type: ignore[union-attr]
    info.extra = _padding(start + (_ZIP64_FIELD_BYTES if zip64 else 0), alignment)
    info.file_size = size
    with archive.open(info, "w", force_zip64=zip64) as member:
        while chunk := source.read(_COPY_BYTES):
            member.write(chunk)
            advance(len(chunk))


def _padding(start: int, alignment: int) -> bytes:
    """Return an extra field that moves data from `start` to the next multiple of `alignment`.

    Its content is the alignment and then zeros, as zipalign writes it.
    """
    header = 6  # id, length and alignment, two bytes each
    zeros = -(start + header) % alignment
    return struct.pack("<HHH", _ALIGNMENT_FIELD, 2 + zeros, alignment) + bytes(zeros)
