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
import threading
import time
from collections.abc import Iterator
from typing import Any

from edgegen.bundle.engine_gpu import check_gpu_ran
from edgegen.bundle.engine_log import explain
from edgegen.bundle.engine_output import Output
from edgegen.errors import EngineError

# The child finds the same modules as we do and none of the current folder's.
_START_CHILD = (
    "import sys; fd, *sys.path[:] = sys.argv[1:]; "
    "from edgegen.bundle.engine_child import main; main(int(fd))"
)
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
        log: Output,
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
        """What the engine has written; of very much, the beginning and the end."""
        if self._process.poll() is not None:
            self._log.wait()
        return str(self._log)

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

        Once `cancel` is set, the process is ended.

        Raises:
            EngineTimeoutError: it did not end in time.
        """
        while not self._cancelled:
            remaining_s = self._remaining_s()
            try:
                return self._process.wait(self._slice_s(remaining_s))
            except subprocess.TimeoutExpired as error:
                if remaining_s is not None and self._remaining_s() == 0:
                    raise EngineTimeoutError(self._timeout_s) from error
        self._process.kill()
        return self._process.wait()

    def finish(self, delegate: str) -> tuple[dict[str, Any], str]:
        """Wait for the process; return its last answer and its log, or raise why there is none."""
        returncode, log = self.wait(), self.log
        if self.done is None or returncode != 0:
            raise explain(log, self.error, returncode, delegate)
        if delegate == "gpu":
            check_gpu_ran(log)
        return self.done, log

    def _read(self) -> bytes:
        poll = select.poll()
        poll.register(self._answers_fd, select.POLLIN)
        while True:
            if self._cancelled:
                return b""
            remaining_s = self._remaining_s()
            if remaining_s == 0:
                raise EngineTimeoutError(self._timeout_s)
            slice_s = self._slice_s(remaining_s)
            if poll.poll(None if slice_s is None else max(1, slice_s * 1000)):
                return os.read(self._answers_fd, 65536)

    @property
    def _cancelled(self) -> bool:
        return self._cancel is not None and self._cancel.is_set()

    def _slice_s(self, remaining_s: float | None) -> float | None:
        """Return how long to wait before the next look at `cancel`."""
        if self._cancel is None:
            return remaining_s
        return _CANCEL_S if remaining_s is None else min(_CANCEL_S, remaining_s)

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


@contextlib.contextmanager
def engine_process(
    message: dict[str, Any],
    timeout_s: float | None,
    cancel: threading.Event | None = None,
) -> Iterator[EngineProcess]:
    """Start the engine's process; whatever ends the block ends the process.

    Setting `cancel` from another thread ends the iteration over its answers, and the process.
    """
    if importlib.util.find_spec("litert_lm") is None:
        raise EngineError(
            "LiteRT-LM is not installed, it runs bundles on this machine",
            "install it for this Python: pip install litert-lm-api",
        )
    answers_fd, childs_fd = os.pipe()
    log = Output()
    try:
        process = subprocess.Popen(
            [sys.executable, "-c", _START_CHILD, str(childs_fd), *sys.path],
            stdin=subprocess.PIPE,
            stdout=log.childs_fd,
            stderr=log.childs_fd,
            pass_fds=(childs_fd,),
            # Ctrl-C reaches us alone; we end the child.
            start_new_session=True,
        )
    except BaseException:
        os.close(answers_fd)
        raise
    finally:
        os.close(childs_fd)
        os.close(log.childs_fd)
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
        log.wait()
        _LOGGER.debug("%s", log)
