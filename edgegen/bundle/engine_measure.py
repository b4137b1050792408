"""Measuring in the engine's process: with the engine's own benchmark, or by hand.

`litert_lm.Benchmark` puts one prompt of zeros through prefill and decode. It counts the prompt
twice against the KV cache, so that no more than `kv_cache_len - 2 * prompt` tokens of the answer
are run (found with 0.18.1; it says nothing). What it cannot do is run by hand in a session: a
context before what is measured, prefill alone, and prompts of more than half the KV cache. There
the prompt is text of as many tokens, and the engine's clocks are the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_FILLERS = (" the", "\n", " a", "a ", ".", "0")
_TRIES = 8


def measuring_way(request: Mapping[str, Any]) -> str:
    """Return `benchmark` or `session`: their clocks are the same, their loops are not.

    On a tiny model a session decodes 15 to 25 % faster than the benchmark, and its prefill is as
    much slower: figures of the two are not to be compared.
    """
    prompt, decode = _prompt_tokens(request), request["decode_tokens"]
    capacity = request["kv_cache_len"]
    fits = capacity is None or 2 * prompt + decode <= capacity
    return "benchmark" if decode and fits and not request["depth"] else "session"


def measure(options: dict[str, Any], request: dict[str, Any]) -> dict[str, Any]:
    """Return the engine's figures; what was not asked for is `None`."""
    prefill, decode, depth = (request[k] for k in ("prefill_tokens", "decode_tokens", "depth"))
    prompt = _prompt_tokens(request)
    if measuring_way(request) == "benchmark":
        info = _benchmark(options, prompt, decode)
    else:
        info = _session(options, prompt, decode, depth)
    return {
        "init_ms": info.init_time_in_second * 1000,
        "ttft_ms": info.time_to_first_token_in_second * 1000
        if prefill and decode and not depth
        else None,
        "prefill_tokens": info.last_prefill_token_count if prefill else None,
        "prefill_tokens_per_s": info.last_prefill_tokens_per_second if prefill else None,
        "decode_tokens": info.last_decode_token_count if decode else None,
        "decode_tokens_per_s": info.last_decode_tokens_per_second if decode else None,
    }


def _prompt_tokens(request: Mapping[str, Any]) -> int:
    prefill, depth = int(request["prefill_tokens"]), int(request["depth"])
    return prefill if prefill or depth else 1  # the engine computes nothing without a prompt


def _benchmark(options: dict[str, Any], prompt: int, decode: int) -> Any:
    import litert_lm

    return litert_lm.Benchmark(**options, prefill_tokens=prompt, decode_tokens=decode).run()


def _session(options: dict[str, Any], prompt: int, decode: int, depth: int) -> Any:
    import litert_lm

    with litert_lm.Engine(**options, enable_benchmark=True) as engine:
        if isinstance(options["backend"], litert_lm.Backend.GPU) and not depth:
            # Weights go to the GPU behind our back; the benchmark waits for that, a session not.
            _run(engine, [1], 1)
        return _run(engine, [count for count in (depth, prompt) if count], decode)


def _run(engine: Any, prompts: list[int], decode: int) -> Any:
    started = int(engine.bos_token_id is not None)  # the first prompt gets it
    with engine.create_session(
        apply_prompt_template=False, max_output_tokens=decode or None
    ) as session:
        for index, tokens in enumerate(prompts):
            session.run_prefill([_text(engine, tokens - (0 if index else started))])
            ran = session.get_benchmark_info().last_prefill_token_count
            if ran != tokens:
                raise RuntimeError(f"a prompt of {tokens} tokens was run as {ran}")
        if decode:
            session.run_decode()
        return session.get_benchmark_info()


def _text(engine: Any, tokens: int) -> str:
    """Return some text of exactly that many tokens."""
    for text in _texts(engine, tokens):
        if len(engine.tokenize(text)) == tokens:
            return text
    raise RuntimeError(f"no text of exactly {tokens} tokens was found for this tokenizer")


def _texts(engine: Any, tokens: int) -> Iterator[str]:
    if tokens <= 0:
        yield ""
    for filler in _FILLERS:
        count = max(1, tokens)
        for _ in range(_TRIES):  # fillers may be joined, or one be several tokens
            text = filler * count
            yield text
            found = max(1, len(engine.tokenize(text)))
            count = max(1, round(count * tokens / found))
