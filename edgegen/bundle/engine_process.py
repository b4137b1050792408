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
_LOGGER = logging.getLogger("edgegen.engine")


class EngineProcess:
    """The engine's process, its answers and its log."""

    def __init__(
        self, process: subprocess.Popen[bytes], answers_fd: int, log: IO[bytes], timeout_s: float
    ) -> None:
        self._process, self._answers_fd, self._log = process, answers_fd, log
        self._timeout_s, self._deadline = timeout_s, time.monotonic() + timeout_s
        self._done: dict[str, Any] | None = None
        self._error: str | None = None

    def answers(self) -> Iterator[dict[str, Any]]:
        """Yield answers until the child closes its end."""
        rest = b""
        while chunk := self._read():
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                yield json.loads(line)

    def note(self, answer: dict[str, Any]) -> None:
        """Keep what `finish` needs."""
        self._done = answer.get("done", self._done)
        self._error = answer.get("error", self._error)

    def finish(self, delegate: str) -> tuple[dict[str, Any], str]:
        """Wait for the process; return its last answer and its log, or raise why there is none."""
        try:
            returncode = self._process.wait(self._remaining_s())
        except subprocess.TimeoutExpired as error:
            raise self._out_of_time() from error
        log = str(_LogText(self._log))
        if self._done is None or returncode != 0:
            raise explain(log, self._error, returncode, delegate)
        if delegate == "gpu":
            check_gpu_ran(delegations(log))
        return self._done, log

    def _read(self) -> bytes:
        poll = select.poll()
        poll.register(self._answers_fd, select.POLLIN)
        remaining_s = self._remaining_s()
        if not poll.poll(None if remaining_s is None else remaining_s * 1000):
            raise self._out_of_time()
        return os.read(self._answers_fd, 65536)

    def _out_of_time(self) -> EngineError:
        return EngineError(
            f"the engine was not done after {self._timeout_s:g} s and was ended",
            "allow more time, or ask for fewer tokens",
        )

    def _remaining_s(self) -> float | None:
        if math.isinf(self._timeout_s):
            return None
        return max(0.0, self._deadline - time.monotonic())


class _LogText:
    """The log as text, read when it is asked for."""

    def __init__(self, log: IO[bytes]) -> None:
        self._log = log

    def __str__(self) -> str:
        self._log.seek(0)
        return self._log.read(_MAX_LOG_BYTES).decode("utf-8", errors="replace")


@contextlib.contextmanager
def engine_process(message: dict[str, Any], timeout_s: float | None) -> Iterator[EngineProcess]:
    """Start the engine's process; whatever ends the block ends the process."""
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
            yield EngineProcess(process, answers_fd, log, timeout_s or math.inf)
        finally:
            process.kill()
            process.wait()
            os.close(answers_fd)
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
            _LOGGER.debug("%s", _LogText(log))
