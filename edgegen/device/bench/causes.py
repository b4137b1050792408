"""Why an engine failed, by what its log, Android's log and crash dumps say."""

from __future__ import annotations

import re
import signal

from edgegen.bundle.engine_log import explain, quote, refused_by_gpu
from edgegen.device.bench.known_causes import CAUSES, ENGINE_DIR, USE_CPU, Cause
from edgegen.device.bench.record import Failure, FailureKind

_LONGEST = 4 * 1024**2
_EXCERPT_LINES, _EXCERPT_CHARS = 12, 300
_NOT_EXECUTABLE, _NOT_FOUND = 126, 127  # a shell's words for it
_SIGNALLED = 128  # what a shell adds to the number of the signal

_ABORT = re.compile(r"Abort message: '([^\n]{1,400}?)'?[ \t\r]{0,20}$", re.MULTILINE)
_SIGNAL = re.compile(r"signal (\d{1,2}) \((SIG\w{2,8})\)[^\n]{0,120}")
_FRAME = re.compile(r"#0\d +pc [0-9a-f]+ +(?:\S*/)?([\w.+-]+\.so|litert_lm\w*)")
_DUMP_BEGIN = re.compile(r"\*\*\* \*\*\* \*\*\*")
# Time, process and thread, severity, and the tag of what writes crash dumps.
_DUMP_LINE = re.compile(
    r"\d\d-\d\d \d\d:\d\d:\d\d\.\d{1,9} {1,8}\d{1,9} {1,8}\d{1,9} F DEBUG {0,9}: ?"
)


def failure_of(
    log: str,
    *,
    exit_code: int | None,
    delegate: str,
    logcat: str = "",
    tombstone: str = "",
    pid: int | None = None,
) -> Failure:
    """Return why an engine has no result.

    Args:
        log: What it wrote.
        exit_code: Its status: 0 if it ended well, negative or 128 + N if signal N ended it,
            `None` if that is unknown.
        delegate: What had been asked for.
        logcat: Android's log of the time.
        tombstone: Android's dump of the crash; by default the one in `logcat`.
        pid: Its process, where known: then a kill for memory must be its own.
    """
    log, logcat = log[-_LONGEST:], logcat[-_LONGEST:]
    tombstone = (tombstone or crash_dump(logcat))[-_LONGEST:]
    number = _signal(exit_code)
    for cause in CAUSES:
        found = _find(cause, log, logcat, tombstone, exit_code, number, delegate, pid)
        if found is not None:
            return _failure(cause, found, log, delegate, number, exit_code, tombstone)
    if tombstone and (told := _crash(tombstone, delegate)):
        return told
    if number == signal.SIGILL:
        cause = next(cause for cause in CAUSES if cause.name == "illegal-instruction")
        return Failure("crashed", cause.message, cause.hint, quote(log))
    if exit_code == _NOT_FOUND:
        return Failure(
            "missing", "the device does not find the engine", ENGINE_DIR, _last_lines(log)
        )
    if exit_code == 0:
        return Failure(
            "no_result",
            "the engine ended without telling its times",
            "look at the log; an engine of another release may write another form",
            _last_lines(log),
        )
    if number == signal.SIGKILL:  # whoever uses much memory is a likely victim, but no proof
        return Failure(
            "crashed",
            "the engine was killed by SIGKILL; nothing shows that memory ran out",
            "run it again; if it stays so, close other apps, or build with a smaller recipe or "
            "--kv-cache-len",
            _last_lines(log),
        )
    told_by = explain(log, None, _returncode(exit_code, number), delegate)
    kind: FailureKind = "refused" if number is None else "crashed"
    return Failure(kind, told_by.message, told_by.hint or "", _last_lines(log))


def crash_dump(logcat: str) -> str:
    """Return the last crash dump that logcat holds, without what logcat puts before its lines."""
    lines = [
        line[found.end() :]
        for line in logcat.splitlines()
        if (found := _DUMP_LINE.match(line)) is not None
    ]
    begins = [index for index, line in enumerate(lines) if _DUMP_BEGIN.search(line)]
    return "\n".join(lines[begins[-1] :] if begins else lines)


def _find(
    cause: Cause,
    log: str,
    logcat: str,
    tombstone: str,
    exit_code: int | None,
    number: int | None,
    delegate: str,
    pid: int | None,
) -> tuple[re.Match[str], str] | None:
    """Return what shows a cause, and in which text."""
    if cause.kind == "not_on_gpu" and delegate != "gpu":  # every log without a GPU says so
        return None
    if cause.signals and number not in cause.signals:
        return None
    if cause.name == "not-executable" and exit_code != _NOT_EXECUTABLE:
        return None
    if exit_code == 0 and cause.kind not in ("refused", "not_on_gpu"):
        return None
    texts = {"log": (log,), "logcat": (logcat,), "any": (log, tombstone, logcat)}[cause.source]
    for text in texts:
        for found in cause.pattern.finditer(text):
            if cause.name == "unsupported-operations" and refused_by_gpu(text) is None:
                break
            if cause.name == "low-memory-killer" and not _is_of(pid, found[0]):
                continue
            return found, text
    return None


def _is_of(pid: int | None, line: str) -> bool:
    """Tell whether a line of the system about a kill is of a process, as far as that is known."""
    return pid is None or re.search(rf"\b{pid}\b", line) is not None


def _failure(
    cause: Cause,
    shown: tuple[re.Match[str], str],
    log: str,
    delegate: str,
    number: int | None,
    exit_code: int | None,
    tombstone: str,
) -> Failure:
    found, text = shown
    excerpt = _around(text, found)
    if tombstone and number is not None and text is not tombstone:
        excerpt += "\n" + _first_lines(tombstone)
    if not cause.message:
        told = explain(log, None, _returncode(exit_code, number), delegate)
        return Failure(cause.kind, told.message, told.hint or "", excerpt)
    group = next((group for group in found.groups() if group), "").strip()
    reference = f" ({cause.reference})" if cause.reference else ""
    return Failure(cause.kind, cause.message.replace("{0}", group), cause.hint + reference, excerpt)


def _crash(tombstone: str, delegate: str) -> Failure | None:
    """Return what a crash dump tells."""
    abort, ended = _ABORT.search(tombstone), _SIGNAL.search(tombstone)
    if abort is None and ended is None:
        return None
    frames = _FRAME.findall(tombstone)
    where = next((name for name in frames if name not in ("libc.so", "libc++.so")), None)
    message = f"the engine crashed ({ended[2] if ended else 'abort'})"
    message += f" in {where}" if where else ""
    message += f": {abort[1]}" if abort else ""
    hint = "try another release of the engine; the excerpt belongs into a report to its makers"
    if where and "accelerator" in where.lower() and delegate == "gpu":
        hint = f"{USE_CPU}, or try another release (google-ai-edge/LiteRT-LM#3575)"
    return Failure("crashed", message, hint, _first_lines(tombstone))


def _signal(exit_code: int | None) -> int | None:
    if exit_code is None:
        return None
    if exit_code < 0:
        return -exit_code
    # 255 and such are statuses of programs; there are no more than 64 signals.
    return exit_code - _SIGNALLED if _SIGNALLED < exit_code <= _SIGNALLED + 64 else None


def _returncode(exit_code: int | None, number: int | None) -> int:
    return -number if number is not None else exit_code or 0


def _around(text: str, found: re.Match[str]) -> str:
    """Return the lines that a match lies in, and the one before and after."""
    begin = text.rfind("\n", 0, max(text.rfind("\n", 0, found.start()), 0)) + 1
    end = text.find("\n", text.find("\n", found.end()) + 1)
    return _first_lines(text[begin : len(text) if end < 0 else end])


def _first_lines(text: str) -> str:
    lines = [line[:_EXCERPT_CHARS] for line in text.splitlines() if line.strip()]
    return "\n".join(lines[:_EXCERPT_LINES])


def _last_lines(text: str) -> str:
    lines = [line[:_EXCERPT_CHARS] for line in text.splitlines() if line.strip()]
    return "\n".join(lines[-_EXCERPT_LINES:])
