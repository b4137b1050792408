"""A short check that a fresh bundle says what its checkpoint says."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgegen.author.reference import reference_logits
from edgegen.bundle import (
    Bundle,
    GenerateRequest,
    GenerationParameters,
    generate,
)
from edgegen.bundle.chat.runtime import RuntimeFit, check_runtime_template
from edgegen.bundle.contents import Tokenizer
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


@dataclass(frozen=True)
class Expectation:
    """What the TFLite model says, and LiteRT-LM is to say from the bundle.

    Attributes:
        parity: Logits of the TFLite model against the authored model in torch.
        prompt: What was continued.
        ids: The model's greedy continuation.
        sure: How many of `ids` come before a near tie.
    """

    parity: Parity
    prompt: str
    ids: tuple[int, ...]
    sure: int


def check_model(tflite: TfliteModel, tokenizer: Tokenizer, start_token: str) -> Expectation:
    """Compare the model with torch on a few tokens, and continue them.

    Raises:
        EngineError: logits depart from torch's by more than the recipe's rounding of
            activations explains.
    """
    generated = min(_GENERATED, tflite.spec.kv_cache_len // 2)
    prompt = _prompt(tokenizer, tflite.spec.kv_cache_len - generated - 1)
    start = tokenizer.piece_id(start_token)
    tokens = [*([] if start is None else [start]), *tokenizer.encode(prompt)]
    session = TfliteSession(tflite.path, num_threads=_threads())
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
    return Expectation(parity, prompt, tuple(ids), sure)


def check_engine(bundle: Bundle, expected: Expectation, tokenizer: Tokenizer) -> SelfCheck:
    """Let LiteRT-LM continue the same prompt from the bundle.

    Raises:
        EngineError: it says something else than the model.
    """
    request = GenerateRequest(
        expected.prompt,
        max_output_tokens=len(expected.ids),
        apply_prompt_template=False,
        threads=_threads(),
    )
    text = "".join(generate(bundle, request))
    wanted = spelled(expected.ids[: expected.sure], bundle, tokenizer)
    if not text.startswith(wanted):
        raise EngineError(
            f"LiteRT-LM continues {expected.prompt!r} with {text!r}, expected {wanted!r}",
            "the bundle's tokenizer or start token may not be the model's; --no-check writes "
            "the bundle all the same",
        )
    return SelfCheck(expected.parity, expected.prompt, text)


def check_template(bundle: Bundle, parameters: GenerationParameters) -> RuntimeFit:
    """Have LiteRT-LM render the chat template of a `.litertlm`, and compare with transformers'.

    Raises:
        EngineError: a conversation comes out otherwise.
        CheckpointError: the template is no Jinja, or takes too much time or memory.
    """
    fit = check_runtime_template(parameters, bundle.path)
    if not fit.same:
        raise EngineError(
            f"LiteRT-LM renders the chat template otherwise than transformers: {fit.difference}",
            "give a simpler one with --chat-template FILE, or none with --chat-template none; "
            "--no-check writes the bundle all the same",
        )
    return fit


def _threads() -> int:
    return len(os.sched_getaffinity(0))


def _prompt(tokenizer: Tokenizer, room: int) -> str:
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


def spelled(ids: Sequence[int], bundle: Bundle, tokenizer: Tokenizer) -> str:
    """Return the text of `ids` up to a stop token, as far as the engine tells it."""
    stops = {tokenizer.piece_id(token) for token in bundle.parameters.stop_tokens}
    ended = next((i for i, token in enumerate(ids) if token in stops), len(ids))
    # A character whose bytes are not all there yet is held back by the engine.
    return tokenizer.decode(list(ids[:ended])).rstrip("\N{REPLACEMENT CHARACTER}")
