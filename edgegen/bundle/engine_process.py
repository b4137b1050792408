"""The engine's process as its parent sees it: answers, log, end."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import logging
import math
import os
import select
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from typing import IO, Any

from edgegen.bundle.engine_log import check_gpu_ran, delegations, explain
from edgegen.errors import EngineError

# The child finds the same modules as we do and none of the current folder's.
_START_CHILD = (
    "import sys; fd, *sys.path[:] = sys.argv[1:]; "
    "from edgegen.bundle.engine_child import main; main(int(fd))"
)
# A log is some tens of kilobytes; this only bounds a runaway one.
_MAX_LOG_BYTES = 16 * 1024**2
_MAX_ANSWER_BYTES = 16 * 1024**2
_SHOWN_BYTES = 200
_CANCEL_S = 0.1  # between two looks at whether to stop
_LOGGER = logging.getLogger("edgegen.engine")


class EngineTimeoutError(EngineError):
    """The engine was not done in time."""

    def __init__(self, timeout_s: float) -> None:
        super().__init__(
            f"the engine was not done after {timeout_s:g} s and was ended",
            "allow more time, or ask for fewer tokens",
        )


class EngineAnswerError(EngineError):
    """What came from the engine's process is no answer."""

    def __init__(self, line: bytes) -> None:
        shown = line[:_SHOWN_BYTES].decode("utf-8", "backslashreplace")
        super().__init__(
            f"the engine's process answered with what is no answer: '{shown}'",
            "run it again; if it stays so, install litert-lm-api and edgegen anew",
        )


class EngineProcess:
    """The engine's process, its answers and its log.

    Attributes:
        pid: Its number.
        done: Its last answer, once that has come.
        error: The exception that it told, if any.
    """

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        answers_fd: int,
        log: IO[bytes],
        timeout_s: float,
        cancel: threading.Event | None,
    ) -> None:
        self._process, self._answers_fd, self._log = process, answers_fd, log
        self._timeout_s, self._deadline = timeout_s, time.monotonic() + timeout_s
        self._cancel = cancel
        self.pid = process.pid
        self.done: dict[str, Any] | None = None
        self.error: str | None = None

    @property
    def log(self) -> str:
        """All that the engine has written."""
        return str(_LogText(self._log))

    def answers(self) -> Iterator[dict[str, Any]]:
        """Yield answers until the child closes its end, or `cancel` is set.

        Raises:
            EngineAnswerError: something else came.
            EngineTimeoutError: nothing came in time.
        """
        rest = b""
        while chunk := self._read():
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                yield _answer(line)
            if len(rest) > _MAX_ANSWER_BYTES:
                raise EngineAnswerError(rest)
        if rest.strip():
            raise EngineAnswerError(rest)

    def note(self, answer: dict[str, Any]) -> None:
        """Keep what `finish` needs."""
        self.done = answer.get("done", self.done)
        self.error = answer.get("error", self.error)

    def wait(self) -> int:
        """Wait for the end of the process; return its status, negative for a signal.

        Raises:
            EngineTimeoutError: it did not end in time.
        """
        try:
            return self._process.wait(self._remaining_s())
        except subprocess.TimeoutExpired as error:
            raise EngineTimeoutError(self._timeout_s) from error

    def finish(self, delegate: str) -> tuple[dict[str, Any], str]:
        """Wait for the process; return its last answer and its log, or raise why there is none."""
        returncode, log = self.wait(), self.log
        if self.done is None or returncode != 0:
            raise explain(log, self.error, returncode, delegate)
        if delegate == "gpu":
            check_gpu_ran(delegations(log))
        return self.done, log

    def _read(self) -> bytes:
        poll = select.poll()
        poll.register(self._answers_fd, select.POLLIN)
        while True:
            if self._cancel is not None and self._cancel.is_set():
                return b""
            remaining_s = self._remaining_s()
            if remaining_s == 0:
                raise EngineTimeoutError(self._timeout_s)
            slice_s = remaining_s
            if self._cancel is not None:
                slice_s = min(_CANCEL_S, _CANCEL_S if remaining_s is None else remaining_s)
            if poll.poll(None if slice_s is None else max(1, slice_s * 1000)):
                return os.read(self._answers_fd, 65536)

    def _remaining_s(self) -> float | None:
        if math.isinf(self._timeout_s):
            return None
        return max(0.0, self._deadline - time.monotonic())


def _answer(line: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise EngineAnswerError(line) from error
    if not isinstance(answer, dict) or not isinstance(answer.get("done", {}), dict):
        raise EngineAnswerError(line)
    return answer


class _LogText:
    """The log as text, read when it is asked for."""

    def __init__(self, log: IO[bytes]) -> None:
        self._log = log

    def __str__(self) -> str:
        self._log.seek(0)
        return self._log.read(_MAX_LOG_BYTES).decode("utf-8", errors="replace")


@contextlib.contextmanager
def engine_process(
    message: dict[str, Any],
    timeout_s: float | None,
    cancel: threading.Event | None = None,
) -> Iterator[EngineProcess]:
    """Start the engine's process; whatever ends the block ends the process.

    Setting `cancel` from another thread ends the iteration over its answers.
    """
    if importlib.util.find_spec("litert_lm") is None:
        raise EngineError(
            "LiteRT-LM is not installed, it runs bundles on this machine",
            "install it for this Python: pip install litert-lm-api",
        )
    with tempfile.TemporaryFile() as log:
        answers_fd, childs_fd = os.pipe()
        try:
            process = subprocess.Popen(
                [sys.executable, "-c", _START_CHILD, str(childs_fd), *sys.path],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                pass_fds=(childs_fd,),
                # Ctrl-C reaches us alone; we end the child.
                start_new_session=True,
            )
        finally:
            os.close(childs_fd)
        assert process.stdin is not None
        try:
            # A child that died at once is explained by its log, not by its broken pipe.
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(json.dumps(message, default=str).encode() + b"\n")
                process.stdin.flush()
            yield EngineProcess(process, answers_fd, log, timeout_s or math.inf, cancel)
        finally:
            process.kill()
            process.wait()
            os.close(answers_fd)
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
            _LOGGER.debug("%s", _LogText(log))
