"""`tokenizer.json` to the SentencePiece model that a `.task` carries, through the gate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgegen.bundle.tokenizers.byte_alphabet import plain_bytes
from edgegen.bundle.tokenizers.byte_level_model import byte_level_model
from edgegen.bundle.tokenizers.gate import GateReport, compare, require
from edgegen.bundle.tokenizers.hugging_face import (
    HfTokenizer,
    library_failures,
    open_hf_tokenizer,
)
from edgegen.bundle.tokenizers.metaspace import bpe_model, unigram_model
from edgegen.bundle.tokenizers.tokenizer_json import TokenizerJson
from edgegen.errors import TokenizerError, did_you_mean
from edgegen.progress import stage

if TYPE_CHECKING:
    from edgegen.bundle.tokenizer import SentencePieceTokenizer

# Who reads the bundle. MediaPipe's engine takes pieces one by one and maps them to bytes itself,
# if METADATA says so; LiteRT-LM passes over that and lets SentencePiece do it.
LITERT_LM, MEDIAPIPE = "litert-lm", "mediapipe"
ENGINES = (LITERT_LM, MEDIAPIPE)


@dataclass(frozen=True)
class Conversion:
    """A converted tokenizer.

    Attributes:
        tokenizer: What a `.task` carries.
        report: What the gate found.
        enable_bytes_to_unicode_mapping: What METADATA must say for this tokenizer.
        size: Ids of the original, or of the model if that is more; pieces after them are
            virtual and never given out.
        source: What was converted.
    """

    tokenizer: SentencePieceTokenizer
    report: GateReport
    enable_bytes_to_unicode_mapping: bool
    size: int
    source: TokenizerJson = field(repr=False)

    def to_json(self) -> dict[str, Any]:
        """Return what provenance and `--json` say of it."""
        return {
            "source": self.tokenizer.path.name,
            "size": self.size,
            "pieces": self.tokenizer.piece_count,
            "bytes": len(self.tokenizer.proto),
            "enable_bytes_to_unicode_mapping": self.enable_bytes_to_unicode_mapping,
            "gate": self.report.to_json(),
        }


def convert_tokenizer(
    source: str | Path | HfTokenizer,
    *,
    engine: str = LITERT_LM,
    vocab_size: int | None = None,
    max_mismatch_rate: float = 0.0,
) -> Conversion:
    """Convert a `tokenizer.json` and prove that ids and text stay the same.

    The comparison takes every id, every added token and the corpus of
    `edgegen.bundle.tokenizers.corpus`, each way. Reports the stage `tokenizer` in steps.

    Args:
        source: The file, or what was opened.
        engine: `litert-lm`, whose bundles MediaPipe's engine tokenizes right, too, but shows in
            stand-in characters where text is not ASCII; or `mediapipe`, for that engine alone.
        vocab_size: The model's; ids are filled up to it.
        max_mismatch_rate: Share of the comparisons that may differ.

    Raises:
        TokenizerError: the file is damaged, of a kind that has no SentencePiece model, or
            converts with more mismatches than allowed.
    """
    conversion = try_convert(
        source, engine=engine, vocab_size=vocab_size, max_mismatch_rate=max_mismatch_rate
    )
    require(conversion.report, conversion.tokenizer.path)
    return conversion


def try_convert(
    source: str | Path | HfTokenizer,
    *,
    engine: str = LITERT_LM,
    vocab_size: int | None = None,
    max_mismatch_rate: float = 0.0,
) -> Conversion:
    """Convert as `convert_tokenizer` does, and return what did not pass the gate, too."""
    from edgegen.bundle.tokenizer import SentencePieceTokenizer, require_most_ids
    from edgegen.bundle.tokenizers.mapped import MappedTokenizer

    if engine not in ENGINES:
        raise ValueError(f"no engine {engine!r}; {did_you_mean(engine, ENGINES)}")
    with stage("tokenizer", 2, "steps") as advance:
        original = source if isinstance(source, HfTokenizer) else open_hf_tokenizer(source)
        require_most_ids(original.path, original.vocab_size, vocab_size)
        size = max(original.vocab_size, vocab_size or 0)
        mapped = engine == MEDIAPIPE and is_byte_level(original.file)
        with library_failures(original.path):
            proto = _model(original, size, mapped)
        tokenizer = SentencePieceTokenizer(original.path, proto)
        advance(1)
        report = compare(
            original,
            MappedTokenizer(original.path, proto) if mapped else tokenizer,
            vocabulary=sorted({*original.file.vocab.values(), *_added_ids(original.file)}),
            id_bytes=spellings(original, tokenizer, mapped=mapped),
            added_tokens=[token.content for token in original.file.added_tokens],
            max_mismatch_rate=max_mismatch_rate,
        )
        advance(1)
    return Conversion(tokenizer, report, mapped, size, original.file)


def is_byte_level(file: TokenizerJson) -> bool:
    """Whether a file's tokens are spelled in GPT-2's characters for bytes."""
    return file.kind == "BPE" and any(
        part.get("type") == "ByteLevel" for part in (*file.pre_tokenizers, *file.normalizers)
    )


def _model(original: HfTokenizer, size: int, mapped: bool) -> bytes:
    file = original.file
    if is_byte_level(file):
        return byte_level_model(original, size, mapped=mapped)
    makers: dict[str, Callable[[HfTokenizer, int], bytes]] = {
        "BPE": bpe_model,
        "Unigram": unigram_model,
    }
    if file.kind not in makers:
        raise TokenizerError(
            f"{file.path} is a {file.kind} tokenizer, expected BPE or Unigram: SentencePiece has "
            "no model that cuts words as it does",
            "write a .litertlm, which carries tokenizer.json itself",
        )
    return makers[file.kind](original, size)


def _added_ids(file: TokenizerJson) -> set[int]:
    return {token.id for token in file.added_tokens}


def spellings(
    original: HfTokenizer, converted: SentencePieceTokenizer, *, mapped: bool
) -> Callable[[int], tuple[bytes, bytes]]:
    """Return what tells the bytes of an id, in the original and as its piece spells them."""
    from edgegen.bundle.tokenizers.mapped import mapped_back

    added = _added_ids(original.file)
    spelled = is_byte_level(original.file)

    def tell(number: int) -> tuple[bytes, bytes]:
        piece, byte = converted.id_piece(number), converted.id_byte(number)
        if byte is not None:
            found = bytes([byte])
        elif mapped:
            found = mapped_back(piece)
        elif spelled and number not in added:
            found = plain_bytes(piece)
        else:
            found = piece.encode()
        return original.id_bytes(number), found

    return tell
