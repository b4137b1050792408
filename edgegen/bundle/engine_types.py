"""What is asked of an engine run, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Delegate = Literal["cpu", "gpu"]
Activations = Literal["f32", "f16"]
Finish = Literal["stop_token", "max_output_tokens", "kv_cache_full"]

DELEGATES: tuple[Delegate, ...] = ("cpu", "gpu")
MAX_SEED = 2**31 - 1


@dataclass(frozen=True)
class GenerateRequest:
    """One prompt and how to answer it.

    Attributes:
        prompt: The user's text.
        max_output_tokens: End after that many tokens.
        temperature: 0 takes the likeliest token each time, whatever the rest says.
        top_k: Sample among that many likeliest tokens; 1 is greedy, too.
        top_p: Sample among the likeliest tokens that together have this probability.
        seed: Same seed, same text.
        delegate: Who computes: `cpu` (XNNPACK) or `gpu`.
        apply_prompt_template: Put the bundle's prompt texts around `prompt`; the start token
            comes first either way.
        threads: CPU threads, `None` for the engine's choice.
        activations: Precision between the layers, `None` for the engine's choice (on GPU
            that is f16).
        cache_dir: Folder where the engine may keep prepared weights; `None` for no cache.
        timeout_s: End the engine after that many seconds; `None` for never.
    """

    prompt: str
    max_output_tokens: int = 256
    temperature: float = 0.0
    top_k: int = 40
    top_p: float = 0.95
    seed: int = 0
    delegate: Delegate = "cpu"
    apply_prompt_template: bool = True
    threads: int | None = None
    activations: Activations | None = None
    cache_dir: Path | None = None
    timeout_s: float | None = None

    def __post_init__(self) -> None:
        _check(self.max_output_tokens >= 1, "max_output_tokens", self.max_output_tokens, ">= 1")
        _check(self.temperature >= 0, "temperature", self.temperature, ">= 0")
        _check(self.top_k >= 1, "top_k", self.top_k, ">= 1")
        _check(0 <= self.top_p <= 1, "top_p", self.top_p, "in 0..1")
        _check(0 <= self.seed <= MAX_SEED, "seed", self.seed, f"in 0..{MAX_SEED}")
        _check_common(self.delegate, self.threads, self.timeout_s)


@dataclass(frozen=True)
class MeasureRequest:
    """One run of the engine with its own clocks.

    Attributes:
        prefill_tokens: Prompt length, in tokens; 0 if prefill is not measured.
        decode_tokens: Tokens to generate; 0 if decode is not measured.
        depth: Tokens that the KV cache holds before; their time does not count.
        delegate: Who computes.
        threads: CPU threads, `None` for the engine's choice.
        activations: Precision between the layers, `None` for the engine's choice.
        cache_dir: Folder where the engine may keep prepared weights; `None` for no cache.
        timeout_s: End the engine after that many seconds; `None` for never.
        cpu_mask: CPUs to pin the engine to, as a bit mask; `None` for all that we may use.
    """

    prefill_tokens: int
    decode_tokens: int
    depth: int = 0
    delegate: Delegate = "cpu"
    threads: int | None = None
    activations: Activations | None = None
    cache_dir: Path | None = None
    timeout_s: float | None = None
    cpu_mask: int | None = None

    def __post_init__(self) -> None:
        for name in ("prefill_tokens", "decode_tokens", "depth"):
            _check(getattr(self, name) >= 0, name, getattr(self, name), ">= 0")
        tokens = self.prefill_tokens + self.decode_tokens
        _check(tokens > 0, "prefill_tokens + decode_tokens", tokens, ">= 1")
        _check(self.cpu_mask is None or self.cpu_mask > 0, "cpu_mask", self.cpu_mask, "> 0")
        _check_common(self.delegate, self.threads, self.timeout_s)


@dataclass(frozen=True)
class Delegation:
    """How much of one signature a delegate took, as the engine's log tells it.

    Attributes:
        delegate: The delegate's own name, such as `TfLiteXNNPackDelegate`.
        nodes_delegated: Nodes that it computes.
        nodes_total: Nodes of the signature.
        partitions: Pieces into which the graph fell.
        signature: `decode`, `prefill_128` and so on.
    """

    delegate: str
    nodes_delegated: int
    nodes_total: int
    partitions: int
    signature: str


@dataclass(frozen=True)
class GenerationResult:
    """An answer and what it took.

    Attributes:
        text: The whole answer.
        finish: Why it ended.
        prompt_tokens: Tokens of the prompt, with start token and prompt texts.
        output_tokens: Tokens generated.
        init_ms: From opening the bundle to an engine that is ready.
        ttft_ms: From handing over the prompt to the first piece of text, tokenizing included.
        decode_tokens_per_s: Rate of decoding, as the engine tells it.
        peak_rss_bytes: Peak resident memory of the engine's process.
        delegations: Who computed what.
        gpu_adapter: Name of the GPU, if one was used.
    """

    text: str
    finish: Finish
    prompt_tokens: int
    output_tokens: int
    init_ms: float
    ttft_ms: float
    decode_tokens_per_s: float
    peak_rss_bytes: int
    delegations: tuple[Delegation, ...]
    gpu_adapter: str | None


@dataclass(frozen=True)
class Measurement:
    """One run of the engine, with the counts it really ran; what was not asked for is `None`.

    Attributes:
        init_ms: From opening the bundle to a session that is ready.
        ttft_ms: Time to first token, as the engine tells it; only where prompt and answer were
            asked for, and nothing before them, since the engine counts from the first prompt.
        prefill_tokens: Tokens of the prompt.
        prefill_tokens_per_s: Rate of prefill.
        decode_tokens: Tokens generated.
        decode_tokens_per_s: Rate of decode.
        peak_rss_bytes: Peak resident memory of the engine's process, `None` where the system
            does not tell.
        delegations: Who computed what.
        gpu_adapter: Name of the GPU, if one was used.
    """

    init_ms: float
    ttft_ms: float | None
    prefill_tokens: int | None
    prefill_tokens_per_s: float | None
    decode_tokens: int | None
    decode_tokens_per_s: float | None
    peak_rss_bytes: int | None
    delegations: tuple[Delegation, ...]
    gpu_adapter: str | None


def _check_common(delegate: str, threads: int | None, timeout_s: float | None) -> None:
    _check(delegate in DELEGATES, "delegate", delegate, f"one of {', '.join(DELEGATES)}")
    _check(threads is None or threads >= 1, "threads", threads, ">= 1")
    _check(timeout_s is None or timeout_s > 0, "timeout_s", timeout_s, "> 0")


def _check(good: bool, name: str, value: object, expected: str) -> None:
    if not good:
        raise ValueError(f"{name} is {value!r}, expected {expected}")
