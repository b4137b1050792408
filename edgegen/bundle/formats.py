"""The bundle formats, and what is done with a bundle of either."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

from edgegen.bundle import litertlm, litertlm_tokenizer, task
from edgegen.bundle.contents import Bundle, Contents, Part, RuntimeHints, Tokenizer
from edgegen.bundle.copying import Sums, hash_range
from edgegen.bundle.generation import GenerationParameters, check_tokens
from edgegen.bundle.litertlm_sections import MAGIC
from edgegen.bundle.reading import reading
from edgegen.contract import TASK_MODEL, TASK_MODELS
from edgegen.errors import BundleError, OutputError, did_you_mean
from edgegen.files import atomic_output, insert_gap, refuse_overwrite
from edgegen.progress import Advance, stage

TFLITE_IDENTIFIER = b"TFL3"  # at byte 4 of every TFLite file


class _Write(Protocol):
    def __call__(
        self,
        contents: Contents,
        prepared: Any,
        file: IO[bytes],
        advance: Advance,
        *,
        adopted: Sums | None,
    ) -> None: ...


@dataclass(frozen=True)
class Format:
    """A bundle format.

    Attributes:
        suffix: How names of such files end; engines go by it.
        needs_start: Whether engines abort without a start token.
        write: Writes a bundle to an open file.
        prepare: Makes all that is small, and finds what cannot be written.
        model_start: Tells where the first model's data will lie.
        read: Opens a bundle.
        read_tokenizer: Reads its tokenizer.
        not_carried: Tells what it has no place for.
    """

    suffix: str
    needs_start: bool
    write: _Write
    prepare: Callable[[Contents], Any]
    model_start: Callable[[Contents, Any], int]
    read: Callable[[Path], Bundle]
    read_tokenizer: Callable[[Bundle], Tokenizer]
    not_carried: Callable[[Contents], Iterator[str]]


FORMATS = {
    "task": Format(
        task.SUFFIX,
        True,
        task.write,
        task.prepare,
        task.model_start,
        task.read,
        task.read_tokenizer,
        task.not_carried,
    ),
    "litertlm": Format(
        litertlm.SUFFIX,
        False,
        litertlm.write,
        litertlm.prepare,
        litertlm.model_start,
        litertlm.read,
        litertlm_tokenizer.read_tokenizer,
        litertlm.not_carried,
    ),
}


def write_bundle(
    tflite_path: str | Path,
    tokenizer: Tokenizer,
    parameters: GenerationParameters,
    output: str | Path,
    *,
    more_models: Mapping[str, str | Path] | None = None,
    hints: RuntimeHints | None = None,
    consume: bool = False,
    force: bool = False,
) -> Bundle:
    """Write a `.task` or a `.litertlm`, by the name of `output`, and return it opened.

    The bytes depend only on the models, the tokenizer and the parameters. Reports the stage
    `bundle` in bytes.

    Args:
        tflite_path: The multi-signature model.
        tokenizer: What `open_tokenizer` returned.
        parameters: Start and stop tokens, prompt texts, sampling.
        output: File to write; it appears only when it is complete.
        more_models: Other TFLite models by their tags in `edgegen.contract.TASK_MODELS`.
        hints: What only a `.litertlm` can say.
        consume: The model's file may become the bundle: it is gone afterwards, also after a
            failure, and where the file system allows nothing is copied.
        force: Replace `output` if it exists.

    Raises:
        BundleError: a model is no TFLite model, a tag is unknown, or MediaPipe is missing.
        TokenizerError: a start or stop token is not a piece of the tokenizer.
        OutputError: `output` exists, has an ending of no format, or cannot be written.
    """
    target = Path(output)
    check_bundle_name(target)
    refuse_overwrite(target, force=force)
    check_tokens(parameters, tokenizer, needs_start=FORMATS[format_of(target)].needs_start)
    paths = {TASK_MODEL: tflite_path, **(more_models or {})}
    for tag in paths:
        if tag not in TASK_MODELS:
            raise BundleError(
                f"bundles hold no model by the tag {tag!r}", did_you_mean(tag, TASK_MODELS)
            )
    models = {tag: _tflite(Path(path)) for tag, path in paths.items()}
    contents = Contents(models, tokenizer, parameters, hints or RuntimeHints())
    return write_contents(contents, target, consume=consume, force=force)


def write_contents(
    contents: Contents, output: str | Path, *, consume: bool = False, force: bool = False
) -> Bundle:
    """Write what another bundle, or `write_bundle`, put together.

    Raises:
        BundleError: something cannot be written in this format.
        OutputError: as `write_bundle`.
    """
    target = Path(output)
    check_bundle_name(target)
    form = FORMATS[format_of(target)]
    # Before the model is touched, which may be moved and be gone.
    prepared = form.prepare(contents)
    total = sum(part.size for part in contents.models.values())
    with (
        stage("bundle", total, "B") as advance,
        atomic_output(target, force=force) as temporary,
    ):
        try:
            adopted = None
            if consume:
                start = form.model_start(contents, prepared)
                adopted = _adopt(contents.models[TASK_MODEL], temporary, start, advance)
            with temporary.open("r+b") as file:
                form.write(contents, prepared, file, advance, adopted=adopted)
        except EOFError as error:
            raise BundleError(
                f"a model is shorter than it was when it was opened: {error}",
                "let nothing else write to it, and run the command again",
            ) from error
        if consume:
            contents.models[TASK_MODEL].path.unlink(missing_ok=True)
    return open_bundle(target)


def check_metadata(
    output: Path,
    tokenizer: Tokenizer,
    parameters: GenerationParameters,
    hints: RuntimeHints | None = None,
) -> None:
    """Find what `write_bundle` could not write, without a model.

    Raises:
        BundleError: a text cannot be written, or MediaPipe is missing.
        CheckpointError: the chat template is no Jinja, or takes too much time or memory.
    """
    form = FORMATS[format_of(output)]
    form.prepare(Contents({}, tokenizer, parameters, hints or RuntimeHints()))


def check_bundle_name(path: Path) -> None:
    """Refuse an output that engines would not take for a bundle: they go by its extension.

    Raises:
        OutputError: the name ends like no format's.
    """
    if path.suffix not in _suffixes():
        raise OutputError(
            f"output {path} does not end in {' or '.join(_suffixes())}, engines know a bundle by "
            "that",
            f"name it {path.name}{task.SUFFIX}, or {path.name}{litertlm.SUFFIX} for LiteRT-LM only",
        )


def open_bundle(path: str | Path) -> Bundle:
    """Open a bundle of either format: check its directory and read its generation parameters.

    Raises:
        BundleError: the file does not exist, cannot be read, is not a bundle, is cut off,
            lacks a member that engines need, or has a name that engines do not open.
    """
    source = Path(path)
    with reading(source):
        if not source.is_file():
            found = "is a folder" if source.is_dir() else "does not exist"
            raise BundleError(
                f"bundle {source} {found}, expected a {' or '.join(_suffixes())} file",
                "check the path",
            )
        with source.open("rb") as file:
            magic = file.read(len(MAGIC))
    name = "litertlm" if magic == MAGIC else "task"
    bundle = FORMATS[name].read(source)
    for tag in TASK_MODELS:
        member = bundle.find(tag)
        if member is not None:
            _check_identifier(source, member.name, member.offset)
    suffix = FORMATS[name].suffix
    if source.suffix != suffix:
        raise BundleError(
            f"{source} is a bundle, but its name does not end in {suffix} and engines go by that",
            f"rename it: mv {shlex.quote(str(source))} {shlex.quote(f'{source}{suffix}')}",
        )
    return bundle


def _suffixes() -> tuple[str, ...]:
    return tuple(form.suffix for form in FORMATS.values())


def format_of(path: Path) -> str:
    """Return the key of `FORMATS` for a name that `check_bundle_name` has let pass."""
    return next(name for name, form in FORMATS.items() if form.suffix == path.suffix)


def _check_identifier(path: Path, name: str, offset: int) -> None:
    with reading(path), path.open("rb") as file:
        file.seek(offset + 4)
        identifier = file.read(4)
    if identifier != TFLITE_IDENTIFIER:
        raise BundleError(
            f"member {name} of {path} is not a TFLite model: it has {identifier!r} at byte 4, "
            f"expected {TFLITE_IDENTIFIER!r}",
            "make the bundle again",
        )


def _tflite(path: Path) -> Part:
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
    return Part(path, 0, path.stat().st_size)


def _adopt(part: Part, target: Path, start: int, advance: Advance) -> Sums | None:
    """Make the model's file `target`, with a gap of `start` bytes before it, if that can be.

    Returns:
        The model's checksums, or `None` if the model stays where it is.
    """
    found = part.path.stat()
    whole = part.offset == 0 and part.size == found.st_size
    # Another name of the same file would get the gap, too.
    if not whole or found.st_nlink > 1 or found.st_dev != target.stat().st_dev:
        return None
    target.write_bytes(bytes(start))
    possible = insert_gap(target, start)
    target.write_bytes(b"")
    if not possible:
        return None
    # Before the gap, which drops the file from memory: the bytes were written only just now.
    sums = Sums(crc=True, sha256=True)
    with part.path.open("rb") as model:
        hash_range(model, part.size, sums, advance)
    if not insert_gap(part.path, start):
        return None
    part.path.replace(target)
    return sums
