"""The gate: a converted tokenizer must say what the original says, or the bundle is not made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from edgegen.bundle.tokenizers.corpus import corpus_lines
from edgegen.errors import TokenizerError

VOCABULARY, ADDED_TOKENS = "vocabulary", "added tokens"
_BATCH = 2000
_REPLACEMENT = "\ufffd"


class Tokenizer(Protocol):
    """What the gate asks of both sides."""

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of each text, without start or stop tokens."""

    def decode_batch(self, ids: Sequence[Sequence[int]]) -> list[str]:
        """Return the text of each list of ids, special tokens included."""


@dataclass(frozen=True)
class Mismatch:
    """The shortest text of a class that the two do not agree on.

    Attributes:
        text: What was encoded, or what the original decodes to.
        expected: The original's ids, or its text.
        found: The conversion's.
    """

    text: str
    expected: list[int] | str
    found: list[int] | str


@dataclass(frozen=True)
class ClassResult:
    """How often two tokenizers disagree on one class of texts.

    Attributes:
        name: `vocabulary`, `added tokens`, or a class of `corpus.class_names`.
        texts: How many were compared.
        encode_mismatches: Texts with other ids.
        decode_mismatches: Ids with another text, or other bytes; the ids are the original's.
        example: The shortest text with other ids, else with another text.
        not_compared: Ids that are no text, and whose bytes are not known.
    """

    name: str
    texts: int
    encode_mismatches: int
    decode_mismatches: int
    example: Mismatch | None = None
    not_compared: int = 0


@dataclass(frozen=True)
class GateReport:
    """What the gate found.

    Attributes:
        classes: A result for each class of texts.
        max_mismatch_rate: The share of mismatches that was allowed.
    """

    classes: tuple[ClassResult, ...]
    max_mismatch_rate: float = 0.0

    @property
    def texts(self) -> int:
        """How many texts were compared."""
        return sum(result.texts for result in self.classes)

    @property
    def not_compared(self) -> int:
        """How many ids could not be compared; they are not among the texts."""
        return sum(result.not_compared for result in self.classes)

    @property
    def mismatches(self) -> int:
        """How many of them differ, in ids or in text; both together count twice."""
        return sum(r.encode_mismatches + r.decode_mismatches for r in self.classes)

    @property
    def mismatch_rate(self) -> float:
        """Mismatches for each text compared, each way counted by itself."""
        return self.mismatches / (2 * self.texts) if self.texts else 0.0

    @property
    def exact(self) -> bool:
        """Whether nothing differs."""
        return self.mismatches == 0

    @property
    def passed(self) -> bool:
        """Whether no more differs than was allowed."""
        return self.mismatch_rate <= self.max_mismatch_rate

    def to_json(self) -> dict[str, Any]:
        """Return the report for provenance and `--json`."""
        return {
            "texts": self.texts,
            "not_compared": self.not_compared,
            "mismatches": self.mismatches,
            "mismatch_rate": self.mismatch_rate,
            "max_mismatch_rate": self.max_mismatch_rate,
            "passed": self.passed,
            "classes": {
                r.name: {
                    "texts": r.texts,
                    "not_compared": r.not_compared,
                    "encode_mismatches": r.encode_mismatches,
                    "decode_mismatches": r.decode_mismatches,
                    "example": None if r.example is None else dict(vars(r.example)),
                }
                for r in self.classes
            },
        }


def compare(
    original: Tokenizer,
    converted: Tokenizer,
    *,
    vocabulary: Iterable[int],
    id_bytes: Callable[[int], tuple[bytes, bytes]] | None = None,
    added_tokens: Iterable[str] = (),
    lines: Iterable[tuple[str, str]] | None = None,
    max_mismatch_rate: float = 0.0,
) -> GateReport:
    """Compare two tokenizers on all of a vocabulary and on a corpus, both ways.

    Args:
        original: The one that is right.
        converted: The one in question.
        vocabulary: Ids to decode one by one; the text is encoded again where it is text.
        id_bytes: Tells what the original and the conversion spell an id with. Part of a character
            is no text, and libraries show it as U+FFFD whatever it is, so its bytes are
            compared. Without this, such ids count as not compared.
        added_tokens: Their texts, which are tried alone and inside sentences.
        lines: (class, text) pairs; the built-in corpus if not given.
        max_mismatch_rate: What the report is to let pass.
    """
    if not 0 <= max_mismatch_rate <= 1:
        raise ValueError(f"max_mismatch_rate is {max_mismatch_rate}, expected 0 to 1")
    tallies: dict[str, _Tally] = {VOCABULARY: _Tally()}
    for ids in _batches(vocabulary):
        texts = original.decode_batch([[i] for i in ids])
        whole = [(i, text) for i, text in zip(ids, texts, strict=True) if _REPLACEMENT not in text]
        tally = tallies[VOCABULARY]
        tally.encoded(original, converted, [text for _, text in whole])
        other = tally.decoded(original, converted, [[i] for i, _ in whole])
        if id_bytes is None:
            tally.not_compared += len(ids) - len(whole)
        else:
            tally.texts += len(ids) - len(whole)
            tally.spelled(id_bytes, [i for i in ids if (i,) not in other])
    named = ((ADDED_TOKENS, text) for token in added_tokens for text in _around(token))
    for batch in _batches(named):
        _both_ways(tallies, original, converted, batch)
    for batch in _batches(corpus_lines() if lines is None else lines):
        _both_ways(tallies, original, converted, batch)
    results = (
        ClassResult(
            name, t.texts, t.encode_mismatches, t.decode_mismatches, t.example, t.not_compared
        )
        for name, t in tallies.items()
    )
    return GateReport(tuple(results), max_mismatch_rate)


def require(report: GateReport, source: object) -> None:
    """Raise `TokenizerError` unless the report passed.

    Args:
        report: What `compare` returned.
        source: What was converted, for the message.
    """
    if report.passed:
        return
    raise TokenizerError(
        f"{source} cannot be converted without loss: {report.mismatches} mismatches in "
        f"{report.texts} texts (rate {report.mismatch_rate:.2g}, allowed "
        f"{report.max_mismatch_rate:.2g}){worst_example(report)}",
        "write a .litertlm, which carries tokenizer.json itself, or allow the rate with "
        "--max-mismatch-rate: the model then sees other tokens in such texts",
    )


def worst_example(report: GateReport) -> str:
    """Return the example of the class with most mismatches, to end a sentence with."""
    worst = max(
        (r for r in report.classes if r.texts),
        key=lambda r: (r.encode_mismatches + r.decode_mismatches) / r.texts,
    )
    example = worst.example
    if example is None:
        return ""
    return (
        f"; of {worst.name}, {shortened(example.text)} is {shortened(example.found)}, "
        f"expected {shortened(example.expected)}"
    )


@dataclass
class _Tally:
    texts: int = 0
    encode_mismatches: int = 0
    decode_mismatches: int = 0
    example: Mismatch | None = None
    not_compared: int = 0

    def encoded(self, original: Tokenizer, converted: Tokenizer, texts: list[str]) -> list[Any]:
        self.texts += len(texts)
        expected = original.encode_batch(texts)
        found = converted.encode_batch(texts)
        for text, right, ids in zip(texts, expected, found, strict=True):
            if right != ids:
                self.encode_mismatches += 1
                self._keep(Mismatch(text, right, ids))
        return expected

    def decoded(
        self, original: Tokenizer, converted: Tokenizer, ids: list[list[int]]
    ) -> set[tuple[int, ...]]:
        """Compare the texts of lists of ids, and return those that differ."""
        expected = original.decode_batch(ids)
        other = set()
        for right, text, row in zip(expected, converted.decode_batch(ids), ids, strict=True):
            if right != text:
                self.decode_mismatches += 1
                self._keep(Mismatch(right, right, text))
                other.add(tuple(row))
        return other

    def spelled(self, id_bytes: Callable[[int], tuple[bytes, bytes]], ids: list[int]) -> None:
        """Compare the bytes of single ids."""
        for right, data in map(id_bytes, ids):
            if right != data:
                self.decode_mismatches += 1
                self._keep(Mismatch(_spelling(right), _spelling(right), _spelling(data)))

    def _keep(self, mismatch: Mismatch) -> None:
        of_ids = isinstance(mismatch.found, list)
        kept = self.example
        if kept is None or (not isinstance(kept.found, list), len(kept.text)) > (
            not of_ids,
            len(mismatch.text),
        ):
            self.example = mismatch


def _both_ways(
    tallies: dict[str, _Tally],
    original: Tokenizer,
    converted: Tokenizer,
    batch: list[tuple[str, str]],
) -> None:
    for name in dict.fromkeys(name for name, _ in batch):
        tally = tallies.setdefault(name, _Tally())
        ids = tally.encoded(original, converted, [text for n, text in batch if n == name])
        tally.decoded(original, converted, ids)


def _spelling(data: bytes) -> str:
    """Write bytes so that those that are no text can be told apart."""
    return data.decode(errors="backslashreplace")


def _around(token: str) -> Iterator[str]:
    """Texts with an added token, in the places where templates and users put them."""
    yield from (token, f"{token}Hello", f"Hello{token}", f"user {token} text", f"{token}\nHi")
    yield from (f"{token}{token}", f"Hi  {token}", f"(x){token}(y)", f"é{token}é", f"\n\n{token} a")


def _batches(items: Iterable[Any]) -> Iterator[list[Any]]:
    batch: list[Any] = []
    for item in items:
        batch.append(item)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def shortened(value: list[int] | str) -> str:
    """Write ids or a text for a message, cut where it is long."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
