"""Tokenizer and conversation: does the engine start, stop and spell as the model learned?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from edgegen.bundle.chat.conversations import talk
from edgegen.bundle.chat.rendering import render_template
from edgegen.bundle.chat.stops import end_token, missing_stops, unreachable_stops
from edgegen.bundle.doctor.findings import Remark, failed, passed, skipped, warned
from edgegen.bundle.doctor.subject import Subject
from edgegen.bundle.formats import FORMATS
from edgegen.bundle.tokenizer import SentencePieceTokenizer

LINES = (
    "The quick brown fox jumps over the lazy dog.",
    "Grüße aus Köln, 12.50 €",
    "你好世界",
    "नमस्ते दुनिया",
    "👩\u200d👩\u200d👧 and 🇩🇪",
    "def f(x):\n    return x  # two  spaces",
)


def tokenizer(subject: Subject) -> Iterator[Remark]:
    """It loads, and gives back what it was given."""
    tokens = subject.tokenizer
    lost = [(line, back) for line in LINES if (back := tokens.decode(tokens.encode(line))) != line]
    if lost:
        line, back = lost[0]
        yield warned(
            f"{len(lost)} of {len(LINES)} lines do not come back, such as {line!r} as {back!r}",
            "what the model cannot read it cannot write; if the model's own tokenizer does better, "
            "bundle that one",
        )
    else:
        yield passed(f"{tokens.vocab_size} pieces; {len(LINES)} lines in six scripts come back")


def vocabulary(subject: Subject) -> Iterator[Remark]:
    """Every id that the model can say is a piece, and every piece is an id that it knows."""
    pieces, logits = subject.tokenizer.vocab_size, subject.dimensions.vocab_size
    if logits is None:
        yield skipped("the model has no logits to compare with")
    elif pieces < logits:
        yield failed(
            f"the tokenizer has {pieces} pieces, the model {logits} logits: LiteRT-LM ends with "
            f"an error at the first id from {pieces} on",
            "bundle the tokenizer that the model was trained with, or pad it; or shrink the model "
            f"with model.resize_token_embeddings({pieces})",
        )
    elif pieces == logits:
        yield passed(f"{pieces} pieces, {logits} logits")
    else:
        beyond = [i for i in range(logits, pieces) if _is_text(subject.tokenizer, i)]
        if beyond:
            yield failed(
                f"the tokenizer has {pieces} pieces, the model {logits} logits: texts with any of "
                f"the {len(beyond)} pieces beyond, such as "
                f"{subject.tokenizer.id_piece(beyond[0])!r}, make the CPU's embedding fail and the "
                "GPU read something else",
                "bundle the tokenizer that the model was trained with",
            )
        else:
            yield warned(
                f"the tokenizer has {pieces} pieces, the model {logits} logits; no text leads to "
                "the pieces beyond",
            )


def tokens(subject: Subject) -> Iterator[Remark]:
    """There is a start token and a stop token, each one piece, and each of a fitting kind."""
    parameters, known = subject.bundle.parameters, subject.tokenizer
    good = True
    if not parameters.stop_tokens:
        good = False
        yield failed(
            "there is no stop token: the model never stops before the KV cache is full",
            "name one: edgegen bundle edit",
        )
    if not parameters.start_token and FORMATS[subject.bundle.format].needs_start:
        good = False
        yield failed(
            "there is no start token, and LiteRT-LM 0.18 aborts on a bundle without one",
            "name one: edgegen bundle edit",
        )
    named = [("start", parameters.start_token)] if parameters.start_token else []
    named += [("stop", token) for token in parameters.stop_tokens]
    for role, token in named:
        number = known.piece_id(token)
        if number is None:
            good = False
            yield failed(
                f"{role} token {token!r} is no piece of the tokenizer, where it is "
                f"{len(known.encode(token))} pieces: the model cannot say it in one",
                f"name a {role} token that the tokenizer has",
            )
        elif role == "stop" and token == parameters.start_token:
            # Some families do so; nothing but the model can tell.
            good = False
            yield warned(
                f"stop token {token!r} is the start token, too",
                "see that the model ends its texts with it",
            )
        elif role == "stop" and _is_word(known, number):
            good = False
            # Some models are meant to answer with one line; none with half a word.
            found = failed if any(c.isalnum() for c in token) else warned
            yield found(
                f"stop token {token!r} is an ordinary piece (id {number}), which texts are made "
                "of: answers would end in their middle",
                "name the token that the model ends its texts with, such as "
                f"{_end_of_text(known) or '</s>'!r}",
            )
    end = _end_of_text(known)
    chat = parameters.has_prompt_texts or parameters.chat_template is not None
    if good and end is not None and end not in parameters.stop_tokens:
        said = (
            f"the tokenizer's end of text {end!r} is not among the stop tokens "
            f"{', '.join(map(repr, parameters.stop_tokens))}"
        )
        if not chat:
            good = False
            yield failed(
                f"{said}, and there is no chat template with another: nothing ends the text",
                f"add {end!r} to the stop tokens: edgegen bundle edit",
            )
    if good:
        stops = ", ".join(f"{t!r} (id {known.piece_id(t)})" for t in parameters.stop_tokens)
        first = parameters.start_token
        start = f"{first!r} (id {known.piece_id(first)})" if first else "no start token"
        yield passed(f"starts with {start}, stops at {stops}")


def template(subject: Subject) -> Iterator[Remark]:
    """What ends an answer in the chat template, or in the prompt texts, is a stop token."""
    parameters = subject.bundle.parameters
    if parameters.chat_template is None and not parameters.has_prompt_texts:
        yield skipped("there is neither a chat template nor a prompt text")
        return
    if parameters.chat_template is not None:
        (asked,) = render_template(
            parameters.chat_template, [talk("Hello")], parameters.template_tokens
        )
        if asked.text is None or "Hello" not in asked.text:
            why = asked.error or "the question is not in it"
            yield failed(
                f"the chat template does not render one question: {why}",
                "take the template that the model was published with",
            )
            return
    missing = missing_stops(parameters, subject.tokenizer.piece_id)
    stops = ", ".join(map(repr, parameters.stop_tokens)) or "none"
    if missing:
        yield failed(
            f"answers end with {missing[0]!r}, which is no stop token ({stops}): the model would "
            "go on and play the user",
            f"add {missing[0]!r} to the stop tokens: edgegen bundle edit",
        )
        return
    if unreachable_stops(parameters):
        yield warned(
            f"answers end with none of the stop tokens ({stops})",
            "see with edgegen run that answers end",
        )
        return
    ended = end_token(parameters, subject.tokenizer.piece_id)
    if ended is None:
        yield warned(
            "the template does not tell how an answer ends",
            "see with edgegen run that answers end",
        )
    else:
        yield passed(f"answers end with {ended!r}, a stop token")


def lengths(subject: Subject) -> Iterator[Remark]:
    """What the bundle promises of lengths fits into the KV cache."""
    parameters, cache = subject.bundle.parameters, subject.dimensions.kv_cache_len
    if cache is None:
        yield skipped("the model has no KV cache of a known length")
        return
    said = [
        (name, value)
        for name in ("max_tokens", "max_output_tokens")
        if (value := getattr(parameters, name)) is not None
    ]
    beyond = [f"{name} {value}" for name, value in said if value > cache]
    if beyond:
        yield warned(
            f"{' and '.join(beyond)}, but the KV cache has {cache} slots; LiteRT-LM takes the "
            "cache's length instead",
            f"say at most {cache}: edgegen bundle edit",
        )
    else:
        told = ", ".join(f"{name} {value}" for name, value in said) or "no length is promised"
        yield passed(f"{told}; the KV cache has {cache} slots")


def _end_of_text(known: Any) -> str | None:
    """Return the piece that the tokenizer itself calls the end of a text."""
    processor = _processor(known)
    number = -1 if processor is None else int(processor.eos_id())
    return str(processor.id_to_piece(number)) if number >= 0 else None


def _is_text(known: Any, number: int) -> bool:
    """Tell whether a text can lead to this id."""
    return not _any_of(known, number, "is_control", "is_unused", "is_unknown")


def _is_word(known: Any, number: int) -> bool:
    """Tell whether ordinary texts lead to this id, which no special token's do."""
    if not _is_text(known, number) or _processor(known) is None:
        return False
    piece = str(known.id_piece(number))
    return not (piece[:1] in "<[" and piece[-1:] in ">]")


def _any_of(known: Any, number: int, *kinds: str) -> bool:
    processor = _processor(known)
    return processor is not None and any(getattr(processor, kind)(number) for kind in kinds)


def _processor(known: Any) -> Any:
    """Return SentencePiece's own object; other kinds of tokenizers tell no kinds of pieces."""
    return known._processor if isinstance(known, SentencePieceTokenizer) else None
