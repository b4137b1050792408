"""A SentencePiece model with a tokenizer.json beside it: whether the two are one tokenizer.

Checkpoints often have both. The SentencePiece model is the original, the other was made of it, and
differs in a few texts even in what is published: around added tokens, for one. Where they differ in
more, one of them is of another model, and a phone would feed this one tokens that mean something
else to it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgegen.bundle.tokenizers.convert import spellings
from edgegen.bundle.tokenizers.gate import GateReport, compare, shortened
from edgegen.bundle.tokenizers.hugging_face import open_hf_tokenizer
from edgegen.bundle.tokenizers.tokenizer_json import FILE_NAME
from edgegen.errors import TokenizerError
from edgegen.progress import stage

if TYPE_CHECKING:
    from edgegen.bundle.tokenizer import SentencePieceTokenizer

# Llama-2's two differ in 0.0003 of the comparisons.
MAX_MISMATCH_RATE = 0.01
_EXAMPLES = 3
# Of longer texts the ids are told from the first other one on.
_SHOWN_IDS = 12


def compare_beside(
    tokenizer: SentencePieceTokenizer,
    tokenizer_json: Path,
    *,
    max_mismatch_rate: float = MAX_MISMATCH_RATE,
) -> GateReport:
    """Compare a SentencePiece model with the `tokenizer.json` of its folder, through the gate.

    Args:
        tokenizer: As the bundle carries it, added tokens included.
        tokenizer_json: What it is compared with, as the gate's original.
        max_mismatch_rate: Share of the comparisons that may differ.

    Raises:
        TokenizerError: `tokenizer.json` is damaged, or the two differ by more than is allowed.
    """
    other = open_hf_tokenizer(tokenizer_json)
    added = other.file.added_tokens
    with stage("tokenizer", 1, "steps") as advance:
        report = compare(
            other,
            tokenizer,
            vocabulary=sorted({*other.file.vocab.values(), *(token.id for token in added)}),
            id_bytes=spellings(other, tokenizer, mapped=False),
            added_tokens=[token.content for token in added],
            max_mismatch_rate=max_mismatch_rate,
        )
        advance(1)
    if not report.passed:
        raise TokenizerError(
            f"{tokenizer.path} and the {FILE_NAME} beside it are not the same tokenizer: "
            f"{differences(report, _EXAMPLES)}; allowed is a rate of "
            f"{report.max_mismatch_rate:.2g}",
            f"take both from one checkpoint, or remove the {FILE_NAME} if the model was trained "
            f"with {tokenizer.path.name}; --max-mismatch-rate allows more, and the model then sees "
            "other tokens in such texts",
        )
    return report


def differences(report: GateReport, count: int = 1) -> str:
    """Say how much the two differ, with the shortest text of the `count` worst classes."""
    ranked = sorted(
        (found for found in report.classes if found.example is not None),
        key=lambda found: -(found.encode_mismatches + found.decode_mismatches) / found.texts,
    )
    said = [
        f"{report.mismatches} mismatches in {report.texts} texts (rate {report.mismatch_rate:.2g})"
    ]
    for found in ranked[:count]:
        example = found.example
        assert example is not None
        here, there = _from_where_they_part(example.found, example.expected)
        said.append(
            f"of {found.name}, {shortened(example.text)} is {shortened(here)}, by {FILE_NAME} "
            f"{shortened(there)}"
        )
    return "; ".join(said)


def _from_where_they_part(
    found: list[int] | str, expected: list[int] | str
) -> tuple[list[int] | str, list[int] | str]:
    """Leave out what many ids have in common at first, which would hide the rest."""
    if isinstance(found, str) or isinstance(expected, str) or len(found) <= _SHOWN_IDS:
        return found, expected
    pairs = enumerate(zip(found, expected, strict=False))
    shorter = min(len(found), len(expected))
    same = next((at for at, (one, other) in pairs if one != other), shorter)
    return found[same:], expected[same:]
