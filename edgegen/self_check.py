"""A short check that a fresh bundle says what its checkpoint says."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgegen.author.reference import reference_logits
from edgegen.bundle import Bundle, GenerateRequest, SentencePieceTokenizer, generate
from edgegen.convert import TfliteModel
from edgegen.convert.interpreter import TfliteSession
from edgegen.convert.parity import Parity, compare_logits
from edgegen.convert.recipes import find_recipe
from edgegen.errors import EngineError

_TEXT = "The quick brown fox jumps over the lazy dog, and then it runs home."
_SCORED = 12
_GENERATED = 8
# Below this lead of the likeliest token over the next, in standard deviations of the
# logits, rounding may decide and two right programs may part; float16 rounds more.
_TIE = 0.01
_HALF_PRECISION_TIE = 0.05


@dataclass(frozen=True)
class SelfCheck:
    """What the check found; it raised if that was not good enough.

    Attributes:
        parity: Logits of the TFLite model against the authored model in torch, both with
            the weights as the recipe stores them.
        prompt: What LiteRT-LM was asked to continue.
        text: Its greedy continuation, which is also what the TFLite model's tokens spell.
    """

    parity: Parity
    prompt: str
    text: str


def self_check(bundle: Bundle, tflite: TfliteModel, tokenizer: SentencePieceTokenizer) -> SelfCheck:
    """Compare the model with torch on a few tokens, and the engine with the model.

    Raises:
        EngineError: logits depart from torch's by more than the recipe's rounding of
            activations explains, or LiteRT-LM says something else than the model.
    """
    generated = min(_GENERATED, tflite.spec.kv_cache_len // 2)
    prompt = _prompt(tokenizer, tflite.spec.kv_cache_len - generated - 1)
    start = tokenizer.piece_id(bundle.parameters.start_token)
    tokens = [*([] if start is None else [start]), *tokenizer.encode(prompt)]
    threads = len(os.sched_getaffinity(0))
    session = TfliteSession(tflite.path, num_threads=threads)
    scored = min(_SCORED, len(tokens) - 1)
    found = session.score(tokens, len(tokens) - scored)
    reference = reference_logits(tflite.source, tokens, tflite.grid_sources).numpy()
    parity = compare_logits(reference[-scored:], found)
    least = find_recipe(tflite.recipe).min_cosine
    if not parity.cosine >= least:
        raise EngineError(
            f"the converted model departs from torch: cosine {parity.cosine:.5f} of the logits "
            f"on {parity.tokens} tokens, expected at least {least}",
            "this is a fault of edgegen or of a runtime; please report it with the checkpoint's "
            "config.json. --no-check writes the bundle all the same",
        )
    ids, sure = greedy(session, found[-1], generated)
    del session  # the engine is about to load the model, too
    request = GenerateRequest(
        prompt, max_output_tokens=generated, apply_prompt_template=False, threads=threads
    )
    generation = generate(bundle, request)
    text = "".join(generation)
    expected = spelled(ids[:sure], bundle, tokenizer)
    if not text.startswith(expected):
        raise EngineError(
            f"LiteRT-LM continues {prompt!r} with {text!r}, expected {expected!r}",
            "the bundle's tokenizer or start token may not be the model's; --no-check writes "
            "the bundle all the same",
        )
    return SelfCheck(parity, prompt, text)


def _prompt(tokenizer: SentencePieceTokenizer, room: int) -> str:
    """Cut the text to `room` tokens."""
    text = _TEXT
    while len(tokenizer.encode(text)) > room:
        text = text[:-1]
    return text


def greedy(
    session: TfliteSession, logits: npt.NDArray[np.float32], count: int
) -> tuple[list[int], int]:
    """Continue greedily; return the tokens and how many come before a near tie."""
    ids: list[int] = []
    sure: int | None = None
    while len(ids) < count:
        if sure is None and near_tie(logits):
            sure = len(ids)
        ids.append(int(logits.argmax()))
        if len(ids) < count:
            logits = session.decode(ids[-1])
    return ids, len(ids) if sure is None else sure


def near_tie(logits: npt.NDArray[np.float32], *, half_precision: bool = False) -> bool:
    """Tell whether rounding may decide between the two likeliest tokens."""
    second, first = np.partition(logits, -2)[-2:]
    tie = _HALF_PRECISION_TIE if half_precision else _TIE
    return bool(first - second < tie * logits.std())


def spelled(ids: Sequence[int], bundle: Bundle, tokenizer: SentencePieceTokenizer) -> str:
    """Return the text of `ids` up to a stop token, as far as the engine tells it."""
    stops = {tokenizer.piece_id(token) for token in bundle.parameters.stop_tokens}
    ended = next((i for i, token in enumerate(ids) if token in stops), len(ids))
    # A character whose bytes are not all there yet is held back by the engine.
    return tokenizer.decode(list(ids[:ended])).rstrip("\N{REPLACEMENT CHARACTER}")
