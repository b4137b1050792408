"""Running a bundle with LiteRT-LM, in a process of its own.

    for piece in generate("model.task", GenerateRequest("Once upon a time")):
        print(piece, end="", flush=True)

The engine's process ends with the iteration, with its `with` block, with this process, or
with its timeout, whichever comes first.
"""

from __future__ import annotations

import json
import math
from collections.abc import Generator, Iterator
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

from edgegen.bundle.chat.affixes import render_with_affixes
from edgegen.bundle.chat.conversations import talk
from edgegen.bundle.contents import Bundle
from edgegen.bundle.dimensions import read_dimensions
from edgegen.bundle.engine_log import delegations, gpu_adapter
from edgegen.bundle.engine_process import EngineAnswerError, engine_process
from edgegen.bundle.engine_types import (
    Finish,
    GenerateRequest,
    GenerationResult,
    Measurement,
    MeasureRequest,
)
from edgegen.bundle.formats import open_bundle
from edgegen.errors import EngineError


class WrongCountsError(EngineError):
    """The engine ran other counts than asked for."""


class NoRatesError(EngineError):
    """The engine ran what was asked for and told no times of it."""


class Generation(Iterator[str]):
    """Pieces of an answer as they come; the rest is known when they have all come.

    Leaving the iteration early leaves the engine running until `close`, the end of a `with`
    block, or the end of this object.
    """

    def __init__(self, pieces: Generator[str, None, GenerationResult]) -> None:
        self._pieces = pieces
        self._result: GenerationResult | None = None

    def __next__(self) -> str:
        try:
            return next(self._pieces)
        except StopIteration as end:
            if end.value is not None:
                self._result = end.value
            raise

    def result(self) -> GenerationResult:
        """Wait for the end of the answer and return all of it.

        Raises:
            EngineError: the engine failed, or was closed before the end.
        """
        for _ in self:
            pass
        if self._result is None:
            raise EngineError("the generation was closed before its end", "start it again")
        return self._result

    def close(self) -> None:
        """End the engine's process if it still runs."""
        self._pieces.close()

    def __enter__(self) -> Generation:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def generate(bundle: str | Path | Bundle, request: GenerateRequest) -> Generation:
    """Generate text from a bundle.

    Args:
        bundle: A `.task` file or what `open_bundle` returned.
        request: The prompt and how to answer it.

    Returns:
        An iterator of text pieces; its `result()` has the whole text and the timings.

    Raises:
        BundleError: the file is not a usable bundle.
        EngineError: on iteration: the engine refused the bundle or the prompt, crashed, ran
            out of time, or did not use the GPU that was asked for.
    """
    opened = bundle if isinstance(bundle, Bundle) else open_bundle(bundle)
    return Generation(_pieces(opened, request, read_dimensions(opened).kv_cache_len))


def measure(bundle: str | Path | Bundle, request: MeasureRequest) -> Measurement:
    """Run LiteRT-LM once with its own clocks, in a fresh process.

    Prefill alone and decode alone are run as such where the engine can: it wants a prompt of at
    least one token, which is then not told of.

    Raises:
        BundleError: the file is not a usable bundle.
        EngineError: the engine failed, or ran other counts than were asked for. LiteRT-LM
            cuts counts to what fits and reports zeros after errors; neither passes here.
    """
    opened = bundle if isinstance(bundle, Bundle) else open_bundle(bundle)
    with engine_process(measure_message(opened, request), request.timeout_s) as child:
        for answer in child.answers():
            child.note(answer)
        done, log = child.finish(request.delegate)
    return measured(done, log, request)


def measure_message(bundle: Bundle, request: MeasureRequest) -> dict[str, Any]:
    """Return what the engine's process is told to do."""
    return {
        "action": "measure",
        "bundle": _engine_path(bundle),
        "kv_cache_len": read_dimensions(bundle).kv_cache_len,
        **asdict(request),
    }


def measured(done: dict[str, Any], log: str, request: MeasureRequest) -> Measurement:
    """Return what the engine's process answered, if that is what was asked for.

    Raises:
        EngineError: it is not.
    """
    try:
        found = Measurement(**done, delegations=delegations(log), gpu_adapter=gpu_adapter(log))
    except TypeError as error:
        raise EngineAnswerError(json.dumps(done).encode()) from error
    _check_measurement(found, request)
    return found


def _pieces(
    bundle: Bundle, request: GenerateRequest, kv_cache_len: int | None
) -> Generator[str, None, GenerationResult]:
    text = []
    with engine_process(generate_message(bundle, request), request.timeout_s) as child:
        for answer in child.answers():
            if "piece" in answer:
                text.append(answer["piece"])
                yield answer["piece"]
            child.note(answer)
        done, log = child.finish(request.delegate)
    finish: Finish = "stop_token"
    if done["output_tokens"] >= request.max_output_tokens:
        finish = "max_output_tokens"
    elif kv_cache_len and done["prompt_tokens"] + done["output_tokens"] >= kv_cache_len:
        finish = "kv_cache_full"
    return GenerationResult(
        text="".join(text),
        finish=finish,
        **done,
        delegations=delegations(log),
        gpu_adapter=gpu_adapter(log),
    )


def generate_message(bundle: Bundle, request: GenerateRequest) -> dict[str, Any]:
    """Return what the engine's process is told to do."""
    parameters = bundle.parameters
    prompt, conversation = request.prompt, None
    system = parameters.system_prompt or None
    if request.apply_prompt_template and bundle.format == "litertlm" and parameters.chat_template:
        # The runtime renders the template; a session would leave it out.
        conversation = [{"role": "system", "content": system}] if system else []
    elif request.apply_prompt_template:
        # A session would put the user's texts alone around the prompt, and no system prompt.
        prompt = render_with_affixes(parameters, talk(prompt, system=system))
    greedy = request.temperature == 0
    sampler = {
        "temperature": request.temperature,
        "top_k": 1 if greedy else request.top_k,
        "top_p": 1.0 if greedy else request.top_p,
        "seed": request.seed,
    }
    return {
        **asdict(request),
        "action": "generate",
        "bundle": _engine_path(bundle),
        "sampler": sampler,
        "prompt": prompt,
        "conversation": conversation,
        "start_tokens": int(bool(parameters.start_token)),
    }


def _engine_path(bundle: Bundle) -> str:
    # Links are kept: the engine goes by the extension, which what they point to need not have.
    return str(bundle.path.absolute())


def _check_measurement(found: Measurement, asked: MeasureRequest) -> None:
    parts = (
        (asked.prefill_tokens, "prefill", found.prefill_tokens, found.prefill_tokens_per_s),
        (asked.decode_tokens, "decode", found.decode_tokens, found.decode_tokens_per_s),
    )
    if any((count or 0) != wanted for wanted, _, count, _ in parts):
        ran = " and ".join(f"{count or 0} {name}" for wanted, name, count, _ in parts if wanted)
        expected = " and ".join(str(wanted) for wanted, *_ in parts if wanted)
        raise WrongCountsError(
            f"the engine ran {ran} tokens, expected {expected}",
            "ask for fewer tokens: prompt and answer must fit the KV cache, and a stop token "
            "ends the answer early",
        )
    told = [found.init_ms, *(rate for wanted, _, _, rate in parts if wanted)]
    if asked.prefill_tokens and asked.decode_tokens and not asked.depth:
        told.append(found.ttft_ms)
    if not all(isinstance(one, (int, float)) and math.isfinite(one) and one > 0 for one in told):
        raise NoRatesError(
            f"the engine reported a time or rate that cannot be: {tuple(told)}",
            "run the benchmark again; -v shows the engine's log",
        )
