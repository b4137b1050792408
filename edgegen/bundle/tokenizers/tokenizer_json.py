"""Reading `tokenizer.json`, the file of Hugging Face's tokenizers library.

The library itself reads it again where text is to be tokenized; this reader bounds the size,
turns damage into errors, and hands out the parts that a conversion looks at.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from edgegen.bundle.tokenizers.charsmap import charsmap_fault
from edgegen.errors import TokenizerError

FILE_NAME = "tokenizer.json"
# The largest published ones (262 k tokens, 515 k merges) have 33 MB and, by estimate, 0.5 million
# lists and objects and 1.3 million commas. Read, JSON takes up to 30 times its size: all count.
MAX_BYTES = 48 * 1024**2
MAX_CONTAINERS = 1_500_000
MAX_COMMAS = 2_000_000
MAX_TOKENS = 2_000_000
# Both readers keep scores in 32 bits.
MAX_SCORE = 3.4e38
# Half of a character that UTF-16 writes in two; JSON alone can spell it.
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")

_DAMAGED = "download or copy the file again; Git LFS pointers and cut-off downloads look like this"


@dataclass(frozen=True)
class AddedToken:
    """A token that is found in text before anything else.

    Attributes:
        id: Its id.
        content: Its text.
        special: Whether decoding may leave it out.
        lstrip: Whether spaces before it belong to it.
        rstrip: Whether spaces after it belong to it.
        single_word: Whether it is found as a word of its own only.
        normalized: Whether it is looked for in normalized text.
    """

    id: int
    content: str
    special: bool = False
    lstrip: bool = False
    rstrip: bool = False
    single_word: bool = False
    normalized: bool = False


@dataclass(frozen=True)
class TokenizerJson:
    """The parts of a `tokenizer.json`.

    Attributes:
        path: The file.
        text: All of it, as the library takes it.
        kind: The model's type: `BPE`, `Unigram`, `WordPiece` or `WordLevel`.
        model: The model's settings, less its vocabulary and merges.
        vocab: Token -> id.
        scores: Token scores by id; of Unigram only.
        merges: The pairs that BPE joins, first ones first.
        added_tokens: In the order of the file.
        normalizers: Each as the file has it, sequences laid flat.
        pre_tokenizers: Likewise.
        decoders: Likewise.
    """

    path: Path
    text: str = field(repr=False)
    kind: str
    model: Mapping[str, Any]
    vocab: Mapping[str, int] = field(repr=False)
    scores: tuple[float, ...] = field(repr=False)
    merges: tuple[tuple[str, str], ...] = field(repr=False)
    added_tokens: tuple[AddedToken, ...]
    normalizers: tuple[Mapping[str, Any], ...]
    pre_tokenizers: tuple[Mapping[str, Any], ...]
    decoders: tuple[Mapping[str, Any], ...]

    @cached_property
    def size(self) -> int:
        """One more than the highest id."""
        added = max((token.id for token in self.added_tokens), default=-1)
        return max(max(self.vocab.values(), default=-1), added) + 1


def read_tokenizer_json(path: str | Path) -> TokenizerJson:
    """Read a `tokenizer.json`.

    Raises:
        TokenizerError: it cannot be read, is too large, is no JSON, or lacks what every such
            file has.
    """
    source = Path(path)
    try:
        size = source.stat().st_size
        if size > MAX_BYTES:
            raise TokenizerError(
                f"{source} has {size} bytes, expected at most {MAX_BYTES}",
                "this is not a tokenizer; download the file again",
            )
        data = source.read_bytes()
    except OSError as error:
        raise TokenizerError(
            f"cannot read {source}: {error.strerror}", "check the path and its permissions"
        ) from error
    return parse_tokenizer_json(source, data)


def parse_tokenizer_json(source: Path, data: bytes) -> TokenizerJson:
    """Read the content of a `tokenizer.json` that came from `source`.

    Raises:
        TokenizerError: it is too large, is no JSON, or lacks what every such file has.
    """
    _check_size(source, data)
    try:
        text = data.decode("utf-8")
        content = json.loads(text)
    # RecursionError: nested deeper than any tokenizer.
    except (ValueError, RecursionError) as error:
        raise TokenizerError(f"{source} is not JSON: {error}", _DAMAGED) from error
    _check_characters(source, text, content)
    reader = _Reader(source)
    root = reader.expect(content, dict, "the file")
    model = reader.expect(root.get("model"), dict, "model")
    kind = model.get("type") or _kind_of_old_files(model)
    if kind not in ("BPE", "Unigram", "WordPiece", "WordLevel"):
        raise TokenizerError(
            f"{source} has model.type = {kind!r}, expected BPE, Unigram, WordPiece or WordLevel",
            "save the tokenizer again with a newer version of the tokenizers library",
        )
    vocab, scores = reader.vocab(kind, model.get("vocab"))
    merges = reader.merges(model.get("merges") or [])
    prefix = model.get("continuing_subword_prefix") or ""
    reader.expect(prefix, str, "model.continuing_subword_prefix")
    for number, (_, right) in enumerate(merges):
        # The library cuts the prefix off unseen; cut elsewhere, it ends the process.
        if not right.startswith(prefix):
            raise TokenizerError(
                f"{source}: model.merges[{number}] joins {_shown(right)}, which does not begin "
                f"with model.continuing_subword_prefix {_shown(prefix)}",
                _DAMAGED,
            )
    added_tokens = reader.added_tokens(root.get("added_tokens") or [])
    if not vocab and not added_tokens:
        raise TokenizerError(
            f"{source}: model.vocab is empty and there are no added_tokens, expected tokens",
            _DAMAGED,
        )
    reader.unknown(kind, model, {*vocab, *(token.content for token in added_tokens)})
    normalizers = reader.flat(root.get("normalizer"), "normalizer", "normalizers")
    reader.charsmaps(normalizers)
    return TokenizerJson(
        path=source,
        text=text,
        kind=kind,
        model={key: model[key] for key in model if key not in ("vocab", "merges")},
        vocab=vocab,
        scores=scores,
        merges=merges,
        added_tokens=added_tokens,
        normalizers=normalizers,
        pre_tokenizers=reader.flat(root.get("pre_tokenizer"), "pre_tokenizer", "pretokenizers"),
        decoders=reader.flat(root.get("decoder"), "decoder", "decoders"),
    )


def _check_size(source: Path, data: bytes) -> None:
    """Bound what reading it takes: the counts are never less than what the JSON holds."""
    counts = (
        ("bytes", len(data), MAX_BYTES),
        ("lists and objects", data.count(b"[") + data.count(b"{"), MAX_CONTAINERS),
        ("commas", data.count(b","), MAX_COMMAS),
    )
    for what, found, limit in counts:
        if found > limit:
            raise TokenizerError(
                f"{source} is a tokenizer.json of {found} {what}, expected at most {limit}",
                "this is not a tokenizer; download the file again",
            )


def _check_characters(source: Path, text: str, content: Any) -> None:
    """Refuse halves of characters, which no text holds and no library takes."""
    if _SURROGATE.search(text) is None:
        return
    try:
        json.dumps(content, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        half = f"\\u{ord(error.object[error.start]):04x}"
        raise TokenizerError(
            f"{source} holds {half}, which is half of a character, expected text", _DAMAGED
        ) from error


def _kind_of_old_files(model: Mapping[str, Any]) -> str | None:
    if isinstance(model.get("vocab"), list):
        return "Unigram"
    return "BPE" if "merges" in model else None


class _Reader:
    def __init__(self, path: Path) -> None:
        self.path = path

    def expect(self, value: Any, kind: type, where: str) -> Any:
        # bool is an int in Python, but no id.
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise TokenizerError(
                f"{self.path}: {where} is {_shown(value)}, expected {_NAMES[kind]}", _DAMAGED
            )
        return value

    def vocab(self, kind: str, value: Any) -> tuple[dict[str, int], tuple[float, ...]]:
        if kind != "Unigram":
            vocab = self.expect(value, dict, "model.vocab")
            for token, number in vocab.items():
                if type(number) is not int or not 0 <= number < MAX_TOKENS:
                    self._check_id(number, f"model.vocab[{token!r}]")
            return vocab, ()
        tokens: dict[str, int] = {}
        scores = []
        for number, entry in enumerate(self.expect(value, list, "model.vocab")):
            where = f"model.vocab[{number}]"
            pair = self.expect(entry, list, where)
            if len(pair) != 2 or type(pair[1]) not in (int, float):
                raise TokenizerError(
                    f"{self.path}: {where} is {_shown(entry)}, expected a token and a score",
                    _DAMAGED,
                )
            # Compared as it is: whole numbers of JSON may be larger than any float.
            if not -MAX_SCORE <= pair[1] <= MAX_SCORE:
                raise TokenizerError(
                    f"{self.path}: {where} has the score {_shown(pair[1])}, expected one between "
                    f"{-MAX_SCORE} and {MAX_SCORE}",
                    _DAMAGED,
                )
            tokens.setdefault(self.expect(pair[0], str, where), number)
            scores.append(float(pair[1]))
        return tokens, tuple(scores)

    def merges(self, value: Any) -> tuple[tuple[str, str], ...]:
        pairs = []
        for number, entry in enumerate(self.expect(value, list, "model.merges")):
            pair = entry.split(" ") if isinstance(entry, str) else entry
            if (
                not isinstance(pair, list)
                or len(pair) != 2
                or not all(isinstance(part, str) for part in pair)
            ):
                raise TokenizerError(
                    f"{self.path}: model.merges[{number}] is {_shown(entry)}, expected two tokens",
                    _DAMAGED,
                )
            pairs.append((pair[0], pair[1]))
        return tuple(pairs)

    def added_tokens(self, value: Any) -> tuple[AddedToken, ...]:
        tokens = []
        for number, entry in enumerate(self.expect(value, list, "added_tokens")):
            where = f"added_tokens[{number}]"
            self.expect(entry, dict, where)
            self._check_id(entry.get("id"), f"{where}.id")
            content = self.expect(entry.get("content"), str, f"{where}.content")
            flags = {
                name: self.expect(entry.get(name, False), bool, f"{where}.{name}")
                for name in ("special", "lstrip", "rstrip", "single_word", "normalized")
            }
            tokens.append(AddedToken(entry["id"], content, **flags))
        return tuple(tokens)

    def unknown(self, kind: str, model: Mapping[str, Any], tokens: set[str]) -> None:
        """Check the token that stands for what the vocabulary lacks."""
        if kind == "Unigram":
            number = model.get("unk_id")
            count = len(model["vocab"])
            if number is None:
                return
            if not 0 <= self.expect(number, int, "model.unk_id") < count:
                raise TokenizerError(
                    f"{self.path}: model.unk_id is {_shown(number)}, expected an id below {count}",
                    _DAMAGED,
                )
            return
        token = model.get("unk_token")
        # Empty for none, as in GPT-2's.
        if token and self.expect(token, str, "model.unk_token") not in tokens:
            raise TokenizerError(
                f"{self.path}: model.unk_token is {_shown(token)}, expected a token of the "
                "vocabulary",
                _DAMAGED,
            )

    def charsmaps(self, normalizers: Sequence[Mapping[str, Any]]) -> None:
        """Check the charsmaps, which libraries follow without looking."""
        for part in normalizers:
            if part["type"] != "Precompiled":
                continue
            where = "precompiled_charsmap"
            packed = self.expect(part.get(where), str, where)
            try:
                fault = charsmap_fault(base64.b64decode(packed, validate=True))
            except (binascii.Error, ValueError) as error:
                fault = f"no base64 ({error})"
            if fault is not None:
                raise TokenizerError(
                    f"{self.path}: {where} is {fault}, expected a charsmap of SentencePiece",
                    _DAMAGED,
                )

    def flat(self, value: Any, where: str, inside: str) -> tuple[Mapping[str, Any], ...]:
        if value is None:
            return ()
        self.expect(value, dict, where)
        if value.get("type") != "Sequence":
            self.expect(value.get("type"), str, f"{where}.type")
            return (value,)
        parts = self.expect(value.get(inside), list, f"{where}.{inside}")
        return tuple(part for inner in parts for part in self.flat(inner, where, inside))

    def _check_id(self, value: Any, where: str) -> None:
        if not 0 <= self.expect(value, int, where) < MAX_TOKENS:
            raise TokenizerError(
                f"{self.path}: {where} is {_shown(value)}, expected an id below {MAX_TOKENS}",
                _DAMAGED,
            )


_NAMES = {
    dict: "an object",
    list: "a list",
    str: "text",
    int: "a whole number",
    bool: "true or false",
}


def _shown(value: Any) -> str:
    text = json.dumps(value) if not isinstance(value, (dict, list)) else f"a {type(value).__name__}"
    return text if len(text) <= 60 else f"{text[:57]}..."
