"""Serving a few known files to the browser on this machine, and to nobody else.

Any page that the user has open can send requests to 127.0.0.1. So everything lies under a
random path that only the printed address holds, a request must name this server as its host
(another name that resolves here is refused), and nothing is served that was not named before.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from pathlib import Path
from socket import SHUT_RDWR, socket
from socketserver import TCPServer
from typing import Any

from edgegen.bundle.preview.facts import BundleFacts
from edgegen.bundle.preview.handler import HOST, PreviewHandler
from edgegen.bundle.preview.web_engine import FILES, WebEngine
from edgegen.bundle.reading import reading
from edgegen.errors import EdgegenError

BUNDLE_ROUTE, FACTS_ROUTE, ENGINE_ROUTE = "bundle.task", "facts.json", "engine/"
_PAGE = Path(__file__).parent / "page"
_LOGGER = logging.getLogger("edgegen.preview")

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".mjs": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".wasm": "application/wasm",
}
# The address is new each time, so what is kept is never old. It spares compiling 27 MB of
# WebAssembly anew when the engine is started again; a copy of the bundle would only take space.
_KEEP, _KEEP_NOT = "private, max-age=86400, immutable", "no-store"


@dataclass(frozen=True)
class Served:
    """One file, or bytes, under a route; the file is opened once, so what is served stays.

    Attributes:
        content_type: Its MIME type.
        size: Bytes.
        cache_control: What the browser may keep.
        data: The bytes, or
        handle: an open file descriptor.
    """

    content_type: str
    size: int
    cache_control: str = _KEEP_NOT
    data: bytes = b""
    handle: int | None = None

    def read(self, offset: int, length: int) -> bytes:
        """Read up to `length` bytes from `offset`, from any thread."""
        if self.handle is None:
            return self.data[offset : offset + length]
        return os.pread(self.handle, length, offset)


@dataclass
class Routes:
    """What a server serves, by route; open files are closed with it."""

    served: dict[str, Served] = field(default_factory=dict)

    def add_file(self, route: str, path: Path, cache_control: str = _KEEP_NOT) -> None:
        """Serve a file.

        Raises:
            BundleError: it cannot be read.
        """
        with reading(path):
            handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            size = os.fstat(handle).st_size
        content_type = _TYPES.get(path.suffix, "application/octet-stream")
        self.served[route] = Served(content_type, size, cache_control, handle=handle)

    def add_json(self, route: str, value: Mapping[str, Any]) -> None:
        """Serve a value as JSON."""
        data = json.dumps(value).encode()
        self.served[route] = Served(_TYPES[".json"], len(data), data=data)

    def close(self) -> None:
        """Close the files."""
        for served in self.served.values():
            if served.handle is not None:
                os.close(served.handle)
        self.served.clear()


class PreviewServer(ThreadingHTTPServer):
    """Serves `routes` under `url` until it is closed; a context manager.

    Closing cuts what is under way short and waits for its threads.
    """

    daemon_threads = False
    block_on_close = True
    request_queue_size = 32

    def __init__(self, routes: Routes, port: int = 0) -> None:
        self.routes = routes
        self.token = secrets.token_urlsafe(16)
        self._connections: set[socket] = set()
        self._lock = threading.Lock()
        try:
            super().__init__((HOST, port), PreviewHandler)
        except OSError as error:
            routes.close()
            raise EdgegenError(
                f"cannot listen on port {port} of {HOST}: {error.strerror}",
                "choose another --port, or leave it out for any that is free",
            ) from error

    @property
    def url(self) -> str:
        """The address to open, token included."""
        return f"http://{HOST}:{self.server_port}/{self.token}/"

    def server_bind(self) -> None:
        """Bind; unlike HTTPServer's own, without asking what this machine is called."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, self.server_address[1]

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Serve one connection, and know it while it lasts."""
        with self._lock:
            self._connections.add(request)
        try:
            super().finish_request(request, client_address)
        finally:
            with self._lock:
                self._connections.discard(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log what ended a connection; a browser that goes away is nothing special."""
        error = sys.exc_info()[1]
        level = logging.DEBUG if isinstance(error, OSError) else logging.ERROR
        _LOGGER.log(level, "a connection ended", exc_info=error)

    def server_close(self) -> None:
        """Stop listening, end the connections, and close the files."""
        with self._lock:
            for connection in self._connections:
                with contextlib.suppress(OSError):  # it has ended by itself
                    connection.shutdown(SHUT_RDWR)
        super().server_close()
        self.routes.close()


def preview_server(facts: BundleFacts, engine: WebEngine, port: int = 0) -> PreviewServer:
    """Return a server for a bundle's page; `serve_forever` is the caller's.

    Args:
        facts: What `read_facts` returned.
        engine: What `open_web_engine` returned.
        port: Where to listen; 0 for any that is free.

    Raises:
        BundleError: a file cannot be read.
        EdgegenError: the port is taken.
    """
    routes = Routes()
    try:
        routes.add_file("", _PAGE / "index.html")
        for path in sorted(_PAGE.iterdir()):
            if path.name != "index.html" and path.suffix in _TYPES:
                routes.add_file(path.name, path)
        for name in FILES:
            routes.add_file(f"{ENGINE_ROUTE}{name}", engine.folder / name, _KEEP)
        routes.add_file(BUNDLE_ROUTE, facts.path)
        routes.add_json(FACTS_ROUTE, facts.for_page(engine))
    except BaseException:
        routes.close()
        raise
    return PreviewServer(routes, port)
