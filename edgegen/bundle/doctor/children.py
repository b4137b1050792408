"""Processes for native code, under limits: whatever ends them is told, and nothing of ours ends.

The request is one line of JSON on stdin, which stays open: a child whose stdin ends has lost its
parent and ends, too. Answers come on a pipe of their own, since native code writes to stdout.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any

from edgegen.bundle.doctor.subject import Limits

# The child finds the same modules as we do and none of the current folder's.
_START_CHILD = (
    "import resource, sys; fd, limit, module, *sys.path[:] = sys.argv[1:]; "
    "resource.setrlimit(resource.RLIMIT_DATA, (int(limit), int(limit))); "
    "resource.setrlimit(resource.RLIMIT_CORE, (0, 0)); "
    "import importlib; importlib.import_module(module).main(int(fd))"
)
_MAX_LOG_BYTES = 16 * 1024**2
_MAX_ANSWER_BYTES = 64 * 1024**2


@dataclass(frozen=True)
class Ended:
    """How a child ended.

    Attributes:
        answers: What it answered.
        log: What it wrote besides.
        returncode: Its exit status; negative for a signal.
        out_of_time: Whether it was ended for taking too long.
    """

    answers: tuple[dict[str, Any], ...]
    log: str
    returncode: int
    out_of_time: bool

    def last(self, key: str) -> Any:
        """Return the last answer's value of that key, `None` where none has it."""
        return next((a[key] for a in reversed(self.answers) if key in a), None)


def run_child(
    module: str,
    request: Mapping[str, Any],
    limits: Limits,
    environment: Mapping[str, str] | None = None,
) -> Ended:
    """Run the `main(answers_fd)` of a module in a process of its own until it ends.

    Args:
        module: Its full name.
        request: What it is asked.
        limits: Time and memory.
        environment: Variables to add to ours.
    """
    deadline = time.monotonic() + limits.timeout_s
    with (
        tempfile.TemporaryFile() as log,
        _started(module, limits, environment, log) as (process, answers_fd),
    ):
        assert process.stdin is not None
        # A child that died at once is explained by its log, not by its broken pipe.
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(json.dumps(request, default=str).encode() + b"\n")
            process.stdin.flush()
        encoded = _read(answers_fd, deadline)
        out_of_time = encoded is None
        if not out_of_time:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                out_of_time = True
        if out_of_time:
            process.kill()
        returncode = process.wait()
        log.seek(0)
        text = log.read(_MAX_LOG_BYTES).decode("utf-8", errors="replace")
    return Ended(tuple(_lines(encoded or b"")), text, returncode, out_of_time)


@contextlib.contextmanager
def _started(
    module: str, limits: Limits, environment: Mapping[str, str] | None, log: IO[bytes]
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    answers_fd, childs_fd = os.pipe()
    try:
        process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                _START_CHILD,
                str(childs_fd),
                str(limits.memory_bytes),
                module,
                *sys.path,
            ],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            pass_fds=(childs_fd,),
            env={**os.environ, **(environment or {})},
            # Ctrl-C reaches us alone; we end the child.
            start_new_session=True,
        )
    except BaseException:
        os.close(answers_fd)
        raise
    finally:
        os.close(childs_fd)
    try:
        yield process, answers_fd
    finally:
        process.kill()
        process.wait()
        os.close(answers_fd)
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()


def _read(answers_fd: int, deadline: float) -> bytes | None:
    """Return all answers, `None` if they have not ended by the deadline or never would."""
    found = b""
    poll = select.poll()
    poll.register(answers_fd, select.POLLIN)
    while len(found) <= _MAX_ANSWER_BYTES:
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            return None
        chunk = os.read(answers_fd, 65536)
        if not chunk:
            return found
        found += chunk
    return None


def _lines(encoded: bytes) -> Iterator[dict[str, Any]]:
    for line in encoded.splitlines():
        # A child that was killed may leave half a line.
        with contextlib.suppress(ValueError):
            yield json.loads(line)
