"""One connection of the preview's server: which requests are answered, and with which headers."""

from __future__ import annotations

import hmac
import logging
import re
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgegen.bundle.preview.server import PreviewServer, Served

HOST = "127.0.0.1"
_CHUNK_BYTES = 1024**2
_IDLE_S = 60  # for a request to come, or a chunk to be taken
_RANGE = re.compile(r"bytes=([0-9]{0,20})-([0-9]{0,20})", re.ASCII)
_LOGGER = logging.getLogger("edgegen.preview")

# Scripts, styles and data from here alone. 'wasm-unsafe-eval' lets WebAssembly be compiled, and
# nothing else be evaluated; a worker is under the policy of its own response, hence on each.
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self' 'wasm-unsafe-eval'",
        "worker-src 'self'",
        "connect-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    # The page shares its process with no other, and takes in nothing from elsewhere.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class PreviewHandler(BaseHTTPRequestHandler):
    """Answers GET and HEAD for the routes of its `PreviewServer`, whole or in part."""

    server: PreviewServer
    server_version, sys_version = "edgegen", ""
    protocol_version = "HTTP/1.1"
    timeout = _IDLE_S

    def do_GET(self) -> None:  # noqa: D102 - http.server's name
        self._answer(with_body=True)

    def do_HEAD(self) -> None:  # noqa: D102 - http.server's name
        self._answer(with_body=False)

    def end_headers(self) -> None:
        """Put the headers that every answer has."""
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Log for who asks; without the token, which lets others in."""
        _LOGGER.debug("%s", (format % args).replace(self.server.token, "..."))

    def _answer(self, *, with_body: bool) -> None:
        served = self._served()
        if served is None:
            return
        try:
            wanted = byte_range(self.headers.get("Range"), served.size)
        except ValueError:
            self._refuse(
                HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
                f"the file has {served.size} bytes",
                {"Content-Range": f"bytes */{served.size}"},
            )
            return
        start, end = wanted or (0, served.size)
        self.send_response(HTTPStatus.PARTIAL_CONTENT if wanted else HTTPStatus.OK)
        self.send_header("Content-Type", served.content_type)
        self.send_header("Content-Length", str(end - start))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Cache-Control", served.cache_control)
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{served.size}")
        self.end_headers()
        if with_body:
            self._send(served, start, end)

    def _served(self) -> Served | None:
        """Return what is asked for; answer with a refusal and return `None` if nothing is."""
        port = self.server.server_port
        if self.headers.get("Host") not in (f"{HOST}:{port}", f"localhost:{port}"):
            # A name of somebody else's that was made to lead here (DNS rebinding).
            self._refuse(HTTPStatus.MISDIRECTED_REQUEST, f"this is {HOST}:{port} and no other host")
            return None
        token, _, route = self.path.partition("?")[0].removeprefix("/").partition("/")
        if not hmac.compare_digest(token.encode(), self.server.token.encode()):
            self._refuse(
                HTTPStatus.NOT_FOUND, "open the whole address that `edgegen preview` printed"
            )
            return None
        # No path is ever made of what was asked: what is not named here does not exist.
        served = self.server.routes.served.get(route)
        if served is None:
            self._refuse(HTTPStatus.NOT_FOUND, "there is no such file")
        return served

    def _refuse(
        self, status: HTTPStatus, why: str, headers: Mapping[str, str] | None = None
    ) -> None:
        body = f"{why}\n".encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _send(self, served: Served, start: int, end: int) -> None:
        """Send bytes through one small buffer; a file cut short meanwhile ends the connection."""
        while start < end:
            chunk = served.read(start, min(_CHUNK_BYTES, end - start))
            if not chunk:
                self.close_connection = True  # fewer bytes than announced: the browser notices
                _LOGGER.warning("a file became shorter while it was served")
                return
            self.wfile.write(chunk)
            start += len(chunk)


def byte_range(header: str | None, size: int) -> tuple[int, int] | None:
    """Return first byte and end of the one range that a `Range` header asks for.

    `None` means all of it: there is no header, or one that RFC 9110 says to pass over (another
    unit, several ranges, not in its grammar).

    Raises:
        ValueError: nothing of `size` bytes lies in the range.
    """
    match = _RANGE.fullmatch(header.strip()) if header else None
    if match is None or match[0] == "bytes=-":
        return None
    first, last = match[1], match[2]
    if not first:
        start, end = max(size - int(last), 0), size
    elif last and int(last) < int(first):
        return None
    else:
        start, end = int(first), min(int(last) + 1, size) if last else size
    if start >= end:
        raise ValueError("not in the file")
    return start, end
