"""A headless Chromium, told over a pair of pipes what to do (its DevTools protocol)."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

from edgegen.bundle.doctor.subject import Limits
from edgegen.errors import EngineError

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_FLAGS = (
    "--headless=new",
    "--remote-debugging-pipe",
    "--enable-unsafe-webgpu",
    "--use-webgpu-adapter=swiftshader",
    "--enable-features=Vulkan",
    "--use-vulkan=swiftshader",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
# The protocol's pipes are file descriptors 3 and 4 of the browser.
_START = (
    "import fcntl, os, resource, sys; "
    "a, b = (fcntl.fcntl(int(fd), fcntl.F_DUPFD_CLOEXEC, 10) for fd in sys.argv[1:3]); "
    "os.dup2(a, 3); os.dup2(b, 4); limit = int(sys.argv[3]); "
    "resource.setrlimit(resource.RLIMIT_DATA, (limit, limit)); "
    "os.execv(sys.argv[4], sys.argv[4:])"
)
_MAX_MESSAGE_BYTES = 16 * 1024**2


def find_chromium() -> str | None:
    """Return the browser's path, `None` where there is none."""
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


class Chromium:
    """A running browser and a page in it."""

    def __init__(self, commands_fd: int, answers_fd: int, deadline: float) -> None:
        self._commands_fd, self._answers_fd = commands_fd, answers_fd
        self._deadline = deadline
        self._rest = b""
        self._last = 0
        self._session: str | None = None

    def open(self, url: str) -> None:
        """Open a page and wait until it is there.

        Raises:
            EngineError: the browser ended, or took too long.
        """
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        attached = self._ask("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        self._ask("Page.navigate", url=url)
        while self.evaluate("document.readyState + ' ' + location.href") != f"complete {url}":
            time.sleep(0.1)

    def evaluate(self, expression: str) -> Any:
        """Return the value of an expression, or of the promise that it is, in the page.

        Raises:
            EngineError: it threw, the page or the browser ended, or it took too long.
        """
        found = self._ask(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in found:
            thrown = found["exceptionDetails"]
            text = thrown.get("exception", {}).get("description") or thrown.get("text", "")
            raise EngineError(str(text).split("\n    at ")[0], None)
        return found["result"].get("value")

    def _ask(self, method: str, **parameters: Any) -> Any:
        self._last += 1
        message: dict[str, Any] = {"id": self._last, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        try:
            os.write(self._commands_fd, json.dumps(message).encode() + b"\0")
        except BrokenPipeError:
            raise EngineError("the browser ended before it answered") from None
        while True:
            answer = self._next()
            if answer.get("id") == self._last:
                if "error" in answer:
                    raise EngineError(f"the browser refuses {method}: {answer['error']}", None)
                return answer["result"]
            if answer.get("method") in ("Inspector.targetCrashed", "Target.targetCrashed"):
                raise EngineError("the page crashed")

    def _next(self) -> Any:
        """Wait for the browser's next message."""
        while b"\0" not in self._rest:
            poll = select.poll()
            poll.register(self._answers_fd, select.POLLIN)
            if not poll.poll(max(0.0, self._deadline - time.monotonic()) * 1000):
                raise EngineError(
                    "the browser was not done in time and was ended", "allow more --timeout"
                )
            chunk = os.read(self._answers_fd, 65536)
            if not chunk or len(self._rest) > _MAX_MESSAGE_BYTES:
                raise EngineError("the browser ended before it answered")
            self._rest += chunk
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)


@contextlib.contextmanager
def running_chromium(program: str, limits: Limits) -> Iterator[Chromium]:
    """Start a browser with an empty profile and WebGPU in software; end it with the block."""
    childs_in, commands_fd = os.pipe()
    answers_fd, childs_out = os.pipe()
    with tempfile.TemporaryDirectory(prefix="edgegen-", ignore_cleanup_errors=True) as profile:
        command = [program, *_FLAGS, f"--user-data-dir={profile}", "about:blank"]
        if os.geteuid() == 0:
            command.append("--no-sandbox")  # which Chromium has none of for root
        try:
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-c",
                    _START,
                    str(childs_in),
                    str(childs_out),
                    str(limits.memory_bytes),
                    *command,
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(childs_in, childs_out),
                start_new_session=True,
            )
        except BaseException:
            os.close(commands_fd)
            os.close(answers_fd)
            raise
        finally:
            os.close(childs_in)
            os.close(childs_out)
        try:
            yield Chromium(commands_fd, answers_fd, time.monotonic() + limits.timeout_s)
        finally:
            # With all the processes that it started, which are of its session.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            os.close(commands_fd)
            os.close(answers_fd)
