"""What the model itself says, without an engine: the TFLite interpreter in a child process."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgegen.bundle.doctor.children import run_child
from edgegen.bundle.doctor.findings import Remark, failed, passed, warned
from edgegen.bundle.doctor.subject import Subject
from edgegen.bundle.engine_log import quote
from edgegen.bundle.reading import reading
from edgegen.contract import DECODE, LOGITS, TOKENS
from edgegen.errors import EngineError

PROMPTS = (
    "The quick brown fox jumps over",
    "ROMEO:\nWhat is",
    "It was the best of times, it was",
    "1, 2, 3,",
    "The king of France",
    "Once upon a time",
)
GENERATED = 12
# Below this lead of the likeliest token over the next, in standard deviations of the logits, two
# right programs may part. A GPU computes with int8 weights turned back into floats, a CPU rounds
# activations to int8 as well, and a GPU's own floats have 16 bits.
CPU_TIE, GPU_TIE = 0.01, 0.1
_COPY_BYTES = 4 * 1024**2
CHILD = "edgegen.bundle.doctor.interpreter_child"


@dataclass(frozen=True)
class Reference:
    """A greedy continuation by the interpreter.

    Attributes:
        prompt: The text that was continued.
        ids: The tokens.
        leads: For each the lead of its logit over the next best, in standard deviations.
    """

    prompt: str
    ids: tuple[int, ...]
    leads: tuple[float, ...]

    def sure(self, tie: float) -> int:
        """Count the tokens before the first whose lead is smaller than `tie`."""
        return next((n for n, lead in enumerate(self.leads) if lead < tie), len(self.leads))


def ask(subject: Subject, calls: Sequence[tuple[str, dict[str, Any]]]) -> list[dict[str, Any]]:
    """Have the interpreter run the bundle's model.

    Args:
        subject: The bundle.
        calls: Functions of `interpreter_child` with their arguments.

    Raises:
        EngineError: it refused the model, crashed, or took too long.
    """
    limits = subject.settings.limits
    with _model_file(subject) as path:
        request = {"model": str(path), "threads": _threads(), "calls": list(calls)}
        ended = run_child(CHILD, request, limits)
    if ended.out_of_time:
        raise EngineError(
            f"the TFLite interpreter was not done after {limits.timeout_s:g} s and was ended",
            "allow more --timeout",
        )
    found = ended.last("done")
    if found is None:
        how = f"signal {-ended.returncode}" if ended.returncode < 0 else "an error"
        raise EngineError(
            f"the TFLite interpreter ended with {how}; the last of its log:\n{quote(ended.log)}",
            "what the other checks say of the model may be why",
        )
    return list(found)


@contextlib.contextmanager
def _model_file(subject: Subject) -> Iterator[Path]:
    """Yield the model in a file of its own, which is what the interpreter maps."""
    offset, size = subject.bundle.model_span
    with tempfile.TemporaryDirectory(prefix="edgegen-") as folder:
        path = Path(folder) / "model.tflite"
        with (
            reading(subject.path),
            subject.path.open("rb") as source,
            path.open("wb") as target,
        ):
            source.seek(offset)
            while size > 0 and (chunk := source.read(min(size, _COPY_BYTES))):
                target.write(chunk)
                size -= len(chunk)
        yield path


def why_not(subject: Subject) -> str | None:
    """Say why the interpreter cannot be asked about tokens, `None` if it can."""
    decode = subject.signatures.get(DECODE)
    if decode is None or LOGITS not in decode.outputs:
        return f"the model has no {DECODE} with {LOGITS}"
    if TOKENS not in decode.inputs:
        return "the model does not take tokens, but what another model makes of them"
    if subject.dimensions.kv_cache_len is None:
        return "the model has no KV cache of a known length"
    return None


def start_ids(subject: Subject) -> list[int]:
    """Return the start token's id, as engines put it before every prompt."""
    found = subject.tokenizer.piece_id(subject.bundle.parameters.start_token)
    return [] if found is None else [found]


def greedy_reference(subject: Subject, tie: float, before: str = "") -> Reference:
    """Return the interpreter's continuation of the prompt that it is surest about.

    `before` is what the engine puts before every prompt by itself; the reference's prompt is
    without it.

    Prompts are cut to less than the smallest prefill: a software GPU errs where one is used twice,
    and what an engine's padding spoils is to show.

    Raises:
        EngineError: as `ask`.
    """
    if before not in subject.greedy:
        cache, lens = subject.dimensions.kv_cache_len or 0, subject.dimensions.prefill_lens
        room = min(max(lens[0] * 3 // 4 if lens else 0, 4), cache - GENERATED - 1)
        start = start_ids(subject)
        prompts = [_cut(subject, before, text, room - len(start)) for text in PROMPTS]
        tokens = [[*start, *subject.tokenizer.encode(before + prompt)] for prompt in prompts]
        if max(map(len, tokens)) > cache - GENERATED:
            raise EngineError(
                f"what the engine puts before every prompt leaves no room for {GENERATED} tokens "
                f"in a cache of {cache}",
                "give a shorter system prompt, or build with a longer --kv-cache-len",
            )
        found = ask(subject, [("greedy", {"ids": ids, "count": GENERATED}) for ids in tokens])
        subject.greedy[before] = [
            Reference(p, tuple(f["ids"]), tuple(f["leads"]))
            for p, f in zip(prompts, found, strict=True)
        ]
    references: list[Reference] = subject.greedy[before]
    return max(references, key=lambda one: one.sure(tie))


def _cut(subject: Subject, before: str, text: str, room: int) -> str:
    while len(text) > 1 and len(subject.tokenizer.encode(before + text)) > room:
        text = text[:-1]
    return text


def compared(
    subject: Subject, text: str, engine: str, tie: float, *, before: str = "", cut: bool = False
) -> Remark:
    """Compare an engine's text with the interpreter's tokens, up to a near tie.

    Args:
        subject: The bundle, of which `greedy_reference` has asked before.
        text: How the engine continues the reference's prompt.
        engine: What messages call it.
        tie: As of `greedy_reference`.
        before: Likewise.
        cut: Whether the text may have been cut before the reference's end.
    """
    reference = greedy_reference(subject, tie, before)
    sure = reference.sure(tie)
    expected = spelled(subject, reference.ids[:sure])
    if cut and text and expected.startswith(text):
        expected = text
    if not text.startswith(expected):
        return failed(
            f"{engine} continues {reference.prompt!r} with {text!r}, the TFLite interpreter with "
            f"{expected!r}",
            "it computes something else, or reads the prompt otherwise: edgegen verify finds the "
            "layer where a model departs from its checkpoint",
        )
    if sure == 0:
        return warned(
            f"{engine} opens it; there is nothing to compare: the model is not sure of its first "
            "token after any of the prompts"
        )
    apart = "" if sure == len(reference.ids) else "; the next is a near tie"
    return passed(
        f"{engine} says what the TFLite interpreter says, {sure} greedy tokens: {expected!r}{apart}"
    )


def spelled(subject: Subject, ids: Sequence[int]) -> str:
    """Return the text of ids up to a stop token, as far as the engine tells it."""
    stops = {subject.tokenizer.piece_id(token) for token in subject.bundle.parameters.stop_tokens}
    ended = next((i for i, token in enumerate(ids) if token in stops), len(ids))
    # A character whose bytes are not all there yet is held back by the engine.
    spelled: str = subject.tokenizer.decode(list(ids[:ended]))
    return spelled.rstrip("\N{REPLACEMENT CHARACTER}")


def _threads() -> int:
    return len(os.sched_getaffinity(0))
