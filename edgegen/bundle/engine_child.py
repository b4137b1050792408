"""The process that runs LiteRT-LM, alone, for one request.

Native code may abort, and its memory is to be measured without ours. The request is one line
of JSON on stdin; answers are lines of JSON on a pipe of their own, since native libraries
write to stdout and stderr. When stdin ends, the parent is gone and so are we.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from edgegen.metering import peak_rss_bytes

Answer = Callable[[dict[str, Any]], None]

NO_CACHE = ":nocache"  # the engine's word for it; otherwise it writes beside the bundle


def main(answers_fd: int) -> None:
    """Serve the request on stdin and answer on `answers_fd`."""
    request = json.loads(_read_line(sys.stdin.fileno()))
    if request.get("cpu_mask"):
        _pin(request["cpu_mask"])
    threading.Thread(target=_die_with_parent, daemon=True).start()
    with os.fdopen(answers_fd, "w", encoding="utf-8") as answers:

        def answer(content: dict[str, Any]) -> None:
            answers.write(json.dumps(content) + "\n")
            answers.flush()

        try:
            _ACTIONS[request["action"]](request, answer)
        except Exception as error:
            answer({"error": f"{type(error).__name__}: {error}"})


def _read_line(fd: int) -> bytes:
    # Not through sys.stdin: its lock would be held by the thread below when Python exits.
    line = b""
    while not line.endswith(b"\n"):
        chunk = os.read(fd, 65536)
        if not chunk:
            raise SystemExit("no request on stdin")
        line += chunk
    return line


def _die_with_parent() -> None:
    while os.read(0, 4096):
        pass
    os._exit(1)


def _pin(mask: int) -> None:
    # Before any thread is started: they inherit it.
    os.sched_setaffinity(0, {cpu for cpu in range(mask.bit_length()) if mask >> cpu & 1})


def _generate(request: dict[str, Any], answer: Answer) -> None:
    import litert_lm

    started = time.monotonic()
    engine = litert_lm.Engine(**_engine_options(request), enable_benchmark=True)
    ready = time.monotonic()
    sampler = litert_lm.SamplerConfig(**request["sampler"])
    prompt = _prompt(engine, request)
    with (
        engine,
        engine.create_session(
            apply_prompt_template=False,
            sampler_config=sampler,
            max_output_tokens=request["max_output_tokens"],
        ) as session,
    ):
        handed_over = time.monotonic()
        first = None
        session.run_prefill([prompt])
        for response in session.run_decode_async():
            first = first or time.monotonic()
            answer({"piece": response.texts[0]})
        info = session.get_benchmark_info()
        answer(
            {
                "done": {
                    "prompt_tokens": request["start_tokens"] + len(engine.tokenize(prompt)),
                    "output_tokens": info.last_decode_token_count,
                    "init_ms": (ready - started) * 1000,
                    "ttft_ms": ((first or time.monotonic()) - handed_over) * 1000,
                    "decode_tokens_per_s": info.last_decode_tokens_per_second,
                    **_peak(),
                }
            }
        )


def _prompt(engine: Any, request: dict[str, Any]) -> str:
    """Return the prompt as it is fed, rendered by the engine where the bundle has a template."""
    before = request["conversation"]
    if before is None:
        return str(request["prompt"])
    message = {"role": "user", "content": request["prompt"]}
    with engine.create_conversation(messages=before) as chat:
        rendered = str(chat.render_message_to_string(message))
    if not rendered:
        raise RuntimeError("the bundle's chat template cannot be rendered")
    return rendered


def _measure(request: dict[str, Any], answer: Answer) -> None:
    from edgegen.bundle.engine_measure import measure

    answer({"done": {**measure(_engine_options(request), request), **_peak()}})


def _peak() -> dict[str, int | None]:
    return {"peak_rss_bytes": peak_rss_bytes()}


def _engine_options(request: dict[str, Any]) -> dict[str, Any]:
    import litert_lm

    # The lines that tell what a delegate took are written at this level only.
    litert_lm.set_min_log_severity(litert_lm.LogSeverity.VERBOSE)
    if request["delegate"] == "gpu":
        backend = litert_lm.Backend.GPU()
    else:
        backend = litert_lm.Backend.CPU(thread_count=request["threads"])
    types = {
        None: None,
        "f32": litert_lm.ActivationDataType.FLOAT32,
        "f16": litert_lm.ActivationDataType.FLOAT16,
    }
    return {
        "model_path": request["bundle"],
        "backend": backend,
        "cache_dir": request["cache_dir"] or NO_CACHE,
        "activation_data_type": types[request["activations"]],
    }


_ACTIONS: dict[str, Callable[[dict[str, Any], Answer], None]] = {
    "generate": _generate,
    "measure": _measure,
}
