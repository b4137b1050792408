"""Reading the engine's log: which GPU was used, and what went wrong in plain words."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable

from edgegen.bundle.engine_gpu import delegations
from edgegen.errors import EngineError

_ADAPTER = re.compile(r"Selected adapter: (.+)")
_REFUSED = "Following operations are not supported by GPU delegate:\n"
_REFUSED_END = "operations will run"
_REFUSED_LINES, _REFUSED_CHARS = 200, 400
_RANGE = re.compile(r"Token id (\d+) is out of range\. Vocab size is (\d+)")
_TOO_LONG = re.compile(r"Exceeding the maximum number of tokens allowed: (\d+) >= (\d+)")
# What glog and TFLite put before a message: severity, time, thread, file and line.
_PREFIX = re.compile(r"^(?:[EFW]\d{4} [\d:.]+ +\d+ |ERROR: |F\d{4} )")
_TROUBLE = re.compile(r"^[EF]\d{4} |^ERROR|^└|[Ee]rror\b|Couldn't|[Ff]ailed")
_HARMLESS = re.compile(r"INFO|VERBOSE|WARNING|W\d{4} |I\d{4} ")
# Far more than an engine writes; what ends it stands at the end.
_LONGEST = 4 * 1024**2
_QUOTED_LINES, _QUOTED_CHARS = 4, 200

_USE_CPU = "run it with --delegate cpu"

__all__ = ["delegations", "explain", "gpu_adapter", "known_cause", "quote", "refused_by_gpu"]


def gpu_adapter(log: str) -> str | None:
    """Return the name of the GPU that was used, if any."""
    found = _ADAPTER.search(log)
    return found[1].strip() if found else None


def refused_by_gpu(log: str) -> EngineError | None:
    """Return which operations the GPU delegate refused, if the log tells of any."""
    return _unsupported_operations(log[-_LONGEST:], 0, "gpu")


def explain(log: str, error: str | None, returncode: int, delegate: str) -> EngineError:
    """Return why the engine failed, in plain words and with the log's own.

    Args:
        log: What the engine wrote.
        error: The exception that the child reported, if it lived to do so.
        returncode: Its exit status; negative for a signal.
        delegate: What had been asked for.
    """
    log = log[-_LONGEST:]
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
    text = f"{log[-_LONGEST:]}\n{error or ''}"
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
    found = _refused_operations(text)
    if found is None:
        return None
    return EngineError(
        f"the GPU delegate refuses this model: {'; '.join(found)}",
        f"{_USE_CPU}, or convert the checkpoint with edgegen, which avoids such operations",
    )


def _refused_operations(text: str) -> list[str] | None:
    """Return the lines that follow the last such heading, `None` if there is none with an end."""
    lines: list[str] = []
    position = text.rfind(_REFUSED)
    if position < 0:
        return None
    position += len(_REFUSED)
    for _ in range(_REFUSED_LINES):
        end = text.find("\n", position)
        line = text[position : len(text) if end < 0 else end]
        if _REFUSED_END in line:
            return lines
        if end < 0:
            break
        lines.append(line[:_REFUSED_CHARS])
        position = end + 1
    return None


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
