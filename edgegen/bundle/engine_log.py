"""Reading the engine's log: what the delegates took, and what went wrong in plain words."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Sequence

from edgegen.bundle.engine_types import Delegation
from edgegen.contract import DECODE, prefill_length
from edgegen.errors import EngineError

_DELEGATION = re.compile(
    r"Replacing (\d+) out of (\d+) node\(s\) with delegate \(([^)]+)\) node, "
    r"yielding (\d+) partitions for subgraph \d+ \(([^)]*)\)"
)
_ADAPTER = re.compile(r"Selected adapter: (.+)")
_REFUSED = re.compile(
    r"Following operations are not supported by GPU delegate:\n(.*?)\n[^\n]*operations will run",
    re.DOTALL,
)
_RANGE = re.compile(r"Token id (\d+) is out of range\. Vocab size is (\d+)")
_TOO_LONG = re.compile(r"Exceeding the maximum number of tokens allowed: (\d+) >= (\d+)")
# What glog and TFLite put before a message: severity, time, thread, file and line.
_PREFIX = re.compile(r"^(?:[EFW]\d{4} [\d:.]+ +\d+ |ERROR: |F\d{4} )")
_TROUBLE = re.compile(r"^[EF]\d{4} |^ERROR|^└|[Ee]rror\b|Couldn't|[Ff]ailed")
_HARMLESS = re.compile(r"INFO|VERBOSE|WARNING|W\d{4} |I\d{4} ")
_GPU_NAMES = ("WEBGPU", "GPU", "OPENCL", "OPENGL", "METAL")
_QUOTED_LINES, _QUOTED_CHARS = 4, 200

_USE_CPU = "run it with --delegate cpu"


def delegations(log: str) -> tuple[Delegation, ...]:
    """Return what each delegate took, in the order of the log."""
    return tuple(
        Delegation(name, int(taken), int(total), int(partitions), signature)
        for taken, total, name, partitions, signature in _DELEGATION.findall(log)
    )


def gpu_adapter(log: str) -> str | None:
    """Return the name of the GPU that was used, if any."""
    found = _ADAPTER.search(log)
    return found[1].strip() if found else None


def check_gpu_ran(found: Sequence[Delegation]) -> None:
    """Raise `EngineError` unless a GPU delegate took prefill and decode whole.

    Without this a run that fell back to the CPU would pass as a GPU result.
    """
    on_gpu = {
        d.signature
        for d in found
        if d.delegate.upper().endswith(_GPU_NAMES) and d.nodes_delegated == d.nodes_total
    }
    if DECODE not in on_gpu or not any(prefill_length(name) for name in on_gpu):
        lines = (f"{d.signature}: {d.delegate} {d.nodes_delegated}/{d.nodes_total}" for d in found)
        raise EngineError(
            "the engine was asked to use the GPU but its log does not show that the GPU ran "
            f"prefill and decode; it shows: {'; '.join(lines) or 'no delegate at all'}",
            f"nothing can be said about the GPU here; {_USE_CPU}",
        )


def refused_by_gpu(log: str) -> EngineError | None:
    """Return which operations the GPU delegate refused, if the log tells of any."""
    return _unsupported_operations(log, 0, "gpu")


def explain(log: str, error: str | None, returncode: int, delegate: str) -> EngineError:
    """Return why the engine failed, in plain words and with the log's own.

    Args:
        log: What the engine wrote.
        error: The exception that the child reported, if it lived to do so.
        returncode: Its exit status; negative for a signal.
        delegate: What had been asked for.
    """
    known = known_cause(log, error, returncode, delegate)
    if known is not None:
        return known
    if returncode < 0:
        how = f"the engine was killed by {_signal_name(returncode)}"
    else:
        how = f"the engine failed: {error or f'it ended with status {returncode}'}"
    return EngineError(
        f"{how}; the last of its log:\n{quote(log)}",
        "run again with -v for the whole log; `edgegen inspect` shows what the bundle holds",
    )


def known_cause(log: str, error: str | None, returncode: int, delegate: str) -> EngineError | None:
    """Return the cause if it is one of those known; see `explain`."""
    text = f"{log}\n{error or ''}"
    found = (cause(text, returncode, delegate) for cause in _CAUSES)
    return next((cause for cause in found if cause is not None), None)


def quote(log: str) -> str:
    """Return the few lines of the log that tell most about a failure."""
    lines = [line for line in log.splitlines() if line.strip()]
    telling = [x for x in lines if _TROUBLE.search(x) and not _HARMLESS.match(x)] or lines
    return "\n".join(
        f"  {_PREFIX.sub('', line)[:_QUOTED_CHARS]}" for line in telling[-_QUOTED_LINES:]
    )


def _unsupported_operations(text: str, returncode: int, delegate: str) -> EngineError | None:
    found = _REFUSED.search(text)
    if found is None:
        return None
    return EngineError(
        f"the GPU delegate refuses this model: {'; '.join(found[1].splitlines())}",
        f"{_USE_CPU}, or convert the checkpoint with edgegen, which avoids such operations",
    )


def _float_embedding(text: str, returncode: int, delegate: str) -> EngineError | None:
    if "EMBEDDING_LOOKUP: Unsupported external weights type" not in text:
        return None
    return EngineError(
        "the GPU delegate aborted: it cannot look up a float embedding table",
        f"build with --recipe dynamic_wi8_afp32 for the GPU, or {_USE_CPU}",
    )


def _no_gpu(text: str, returncode: int, delegate: str) -> EngineError | None:
    if "No adapters found" not in text:
        return None
    vulkan = re.search(r"Couldn't load Vulkan: (.+)", text)
    detail = f" ({vulkan[1]})" if vulkan else ""
    return EngineError(
        f"the GPU delegate finds no GPU on this machine{detail}",
        f"install a Vulkan driver and loader, or {_USE_CPU}",
    )


def _token_out_of_range(text: str, returncode: int, delegate: str) -> EngineError | None:
    found = _RANGE.search(text)
    if found is None:
        return None
    return EngineError(
        f"the model produced token id {found[1]}, but the bundle's tokenizer has {found[2]} "
        "pieces only",
        "bundle the model with the tokenizer it was trained with",
    )


def _prompt_too_long(text: str, returncode: int, delegate: str) -> EngineError | None:
    found = _TOO_LONG.search(text)
    if found is None:
        return None
    return EngineError(
        f"the prompt has {found[1]} tokens, expected fewer than the KV cache's {found[2]}",
        "shorten the prompt, or build with a larger --kv-cache-len",
    )


def _no_package(text: str, returncode: int, delegate: str) -> EngineError | None:
    found = re.search(r"(?:ModuleNotFoundError|ImportError): (.+)", text)
    if found is None:
        return None
    return EngineError(
        f"LiteRT-LM cannot be loaded: {found[1]}",
        "install it for this Python: pip install litert-lm-api",
    )


def _gpu_segfault(text: str, returncode: int, delegate: str) -> EngineError | None:
    if delegate != "gpu" or returncode != -signal.SIGSEGV:
        return None
    return EngineError(
        "the GPU delegate crashed (SIGSEGV) on this model; weight-only int8 weights are a "
        f"known cause. The last of its log:\n{quote(text)}",
        f"build with --recipe dynamic_wi8_afp32, or {_USE_CPU}",
    )


def _out_of_memory(text: str, returncode: int, delegate: str) -> EngineError | None:
    if returncode != -signal.SIGKILL:
        return None
    return EngineError(
        "the engine was killed by SIGKILL, most likely because the machine ran out of memory",
        "close other programs, or build with a smaller recipe or --kv-cache-len",
    )


def _signal_name(returncode: int) -> str:
    try:
        return signal.Signals(-returncode).name
    except ValueError:
        return f"signal {-returncode}"


_CAUSES: tuple[Callable[[str, int, str], EngineError | None], ...] = (
    _unsupported_operations,
    _float_embedding,
    _no_gpu,
    _token_out_of_range,
    _prompt_too_long,
    _no_package,
    _gpu_segfault,
    _out_of_memory,
)
