"""A page in headless Chromium for tests: led from Python, with WebGPU in software."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from tests.engines.availability import require_file, require_program
from tests.engines.mediapipe_web import HERE, PACKAGES

ENGINE_DIR = HERE / "node_modules" / "@mediapipe" / "tasks-genai"


class PageError(Exception):
    """The page, or the browser, did not do what was asked of it in time."""


class BrowserPage:
    """What a user does in a page, and what can be seen there."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._stdin: IO[str] = process.stdin
        self._stdout: IO[str] = process.stdout
        self._last = 0

    def goto(self, url: str) -> int:
        """Open an address; return the status."""
        return self._ask("goto", url=url)

    def fill(self, selector: str, text: str) -> None:
        """Put a text into a field."""
        self._ask("fill", selector=selector, text=text)

    def click(self, selector: str) -> None:
        """Click on what is visible there."""
        self._ask("click", selector=selector)

    def press(self, key: str) -> None:
        """Press a key where the focus is."""
        self._ask("press", key=key)

    def blur(self, selector: str) -> None:
        """Leave a field."""
        self._ask("blur", selector=selector)

    def evaluate(self, script: str, argument: Any = None) -> Any:
        """Return what a function in the page returns."""
        return self._ask("evaluate", script=script, argument=argument)

    def wait(self, script: str, argument: Any = None) -> None:
        """Wait until a function in the page returns something true."""
        self._ask("wait", script=script, argument=argument)

    def text(self, selector: str) -> str:
        """Return the text of the first such element."""
        return self.evaluate("(s) => document.querySelector(s).textContent", selector)

    def theme(self, scheme: str) -> None:
        """Have the system want `light` or `dark`."""
        self._ask("theme", scheme=scheme)

    def resize(self, width: int, height: int) -> None:
        """Make the window that large, in CSS pixels."""
        self._ask("resize", width=width, height=height)

    def accessible(self) -> list[dict[str, Any]]:
        """Return what assistive technology sees: role, name and whether it takes the focus."""
        return self._ask("accessible")

    def screenshot(self, path: str) -> None:
        """Write a PNG."""
        self._ask("screenshot", path=path)

    def records(self) -> dict[str, list[str]]:
        """Return all `requests`, `console` lines, uncaught `errors`, and policy `violations`."""
        return self._ask("records")

    def _ask(self, operation: str, **options: Any) -> Any:
        self._last += 1
        print(
            json.dumps({"id": self._last, "operation": operation, **options}),
            file=self._stdin,
            flush=True,
        )
        line = self._stdout.readline()
        if not line:
            raise PageError("the browser ended")
        answer = json.loads(line)
        assert answer["id"] == self._last
        if "error" in answer:
            raise PageError(f"{operation} {options}: {answer['error']}")
        return answer["value"]


@contextmanager
def browser_page(*, gpu: bool = True) -> Iterator[BrowserPage]:
    """Start a browser with one page, and end it; skip if there is none."""
    chromium = require_program(
        "chromium", "chromium-browser", install="on Debian: apt-get install chromium"
    )
    node = require_program("node", install="install Node.js 18 or newer, with npm")
    for package in PACKAGES:
        require_file(HERE / "node_modules" / package, "run make setup where npm is installed")
    command = [str(node), str(HERE / "browser_page.mjs"), "--chromium", str(chromium)]
    with subprocess.Popen(
        [*command, *([] if gpu else ["--no-gpu"])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield BrowserPage(process)
        finally:
            # Told that nothing more comes, the script closes its browser.
            process.stdin.close()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.terminate()
