"""Which tokenizer of a checkpoint a bundle carries, and what is to be said of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edgegen.author import AuthoredModel
from edgegen.bundle import open_exact_tokenizer
from edgegen.bundle.contents import Tokenizer
from edgegen.bundle.task import SUFFIX as TASK_SUFFIX
from edgegen.bundle.tokenizer import SentencePieceTokenizer, needs_conversion
from edgegen.bundle.tokenizers.beside import MAX_MISMATCH_RATE, compare_beside, differences
from edgegen.bundle.tokenizers.convert import (
    ENGINES,
    MEDIAPIPE,
    Conversion,
    convert_tokenizer,
    is_byte_level,
)
from edgegen.bundle.tokenizers.gate import GateReport
from edgegen.bundle.tokenizers.mapped import MappedTokenizer
from edgegen.bundle.tokenizers.tokenizer_json import FILE_NAME as TOKENIZER_JSON
from edgegen.errors import TokenizerError, did_you_mean


@dataclass(frozen=True)
class CarriedTokenizer:
    """The tokenizer of a bundle.

    Attributes:
        tokenizer: What the bundle carries.
        conversion: What converting `tokenizer.json` changed; `None` where that was not needed.
        beside: How a SentencePiece model compares with the `tokenizer.json` beside it; `None`
            where there is none.
    """

    tokenizer: Tokenizer
    conversion: Conversion | None = None
    beside: GateReport | None = None

    @property
    def maps_bytes(self) -> bool:
        """Whether METADATA must have MediaPipe's engine map bytes to characters."""
        return self.conversion is not None and self.conversion.enable_bytes_to_unicode_mapping

    @property
    def as_read(self) -> Tokenizer:
        """The tokenizer as the engine that it is meant for reads it."""
        if not self.maps_bytes:
            return self.tokenizer
        assert isinstance(self.tokenizer, SentencePieceTokenizer)
        return MappedTokenizer(self.tokenizer.path, self.tokenizer.proto)


def check_engine_name(engine: str, path: Path) -> None:
    """Refuse an engine that is not known, or that cannot read the bundle to be written.

    Raises:
        TokenizerError: it is so.
    """
    if engine not in ENGINES:
        raise TokenizerError(
            f"no engine {engine!r}; {did_you_mean(engine, ENGINES)}",
            f"choose {' or '.join(ENGINES)}",
        )
    if engine == MEDIAPIPE and path.suffix != TASK_SUFFIX:
        raise TokenizerError(
            f"{path} would be a {path.suffix}, and MediaPipe's engine opens {TASK_SUFFIX} only",
            f"name the output {path.stem}{TASK_SUFFIX}, or leave --engine out",
        )


def carried_tokenizer(
    model: AuthoredModel, suffix: str, engine: str, max_mismatch_rate: float | None
) -> CarriedTokenizer:
    """Open a checkpoint's tokenizer as its bundle carries it.

    Args:
        model: Of the checkpoint.
        suffix: Of the bundle.
        engine: As of `convert_tokenizer`.
        max_mismatch_rate: Likewise, also for a SentencePiece model beside a `tokenizer.json`; by
            default 0 for a conversion, and `beside.MAX_MISMATCH_RATE` for the other.

    Raises:
        TokenizerError: there is none, it is damaged, or it does not pass the gate.
    """
    folder, vocab_size = model.checkpoint.path, model.config.vocab_size
    if suffix == TASK_SUFFIX and needs_conversion(folder):
        conversion = convert_tokenizer(
            folder / TOKENIZER_JSON,
            engine=engine,
            vocab_size=vocab_size,
            max_mismatch_rate=max_mismatch_rate or 0.0,
        )
        return CarriedTokenizer(conversion.tokenizer, conversion)
    tokenizer = open_exact_tokenizer(folder, vocab_size=vocab_size)
    beside = folder / TOKENIZER_JSON
    if not isinstance(tokenizer, SentencePieceTokenizer) or not beside.is_file():
        return CarriedTokenizer(tokenizer)
    allowed = MAX_MISMATCH_RATE if max_mismatch_rate is None else max_mismatch_rate
    report = compare_beside(tokenizer, beside, max_mismatch_rate=allowed)
    return CarriedTokenizer(tokenizer, beside=report)


def tokenizer_notes(carried: CarriedTokenizer) -> Iterator[str]:
    """Yield what the user should know of the bundle's tokenizer."""
    conversion, beside = carried.conversion, carried.beside
    if beside is not None and not beside.exact:
        yield (
            f"{carried.tokenizer.path.name} is carried as it is; the {TOKENIZER_JSON} beside it "
            f"differs in a few texts: {differences(beside)}"
        )
    if conversion is not None:
        report = conversion.report
        yield (
            f"tokenizer.json was converted to SentencePiece: {report.mismatches} of {report.texts} "
            "texts have other tokens or come back otherwise; a .litertlm carries it as it is"
        )
        if conversion.enable_bytes_to_unicode_mapping:
            yield (
                "the tokenizer is for MediaPipe's own engine, which METADATA tells to map bytes; "
                "LiteRT-LM does not map them, and reads other tokens"
            )
        elif is_byte_level(conversion.source):
            yield (
                "MediaPipe's own engine shows stand-ins for characters that are not ASCII and for "
                "endings such as 's; LiteRT-LM does not"
            )
