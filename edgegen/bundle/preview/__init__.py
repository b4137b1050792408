"""A bundle in MediaPipe's web engine: a page on this machine, for a chat in the browser's GPU.

`web_engine.py` knows the engine's files and how to get them, `facts.py` what the page is told
about the bundle, `server.py` serves both to this machine alone, and `page/` is the page.
"""

from __future__ import annotations

from edgegen.bundle.preview.facts import BundleFacts, read_facts
from edgegen.bundle.preview.server import PreviewServer, preview_server
from edgegen.bundle.preview.web_engine import (
    WebEngine,
    cached_folder,
    fetch_web_engine,
    open_web_engine,
)

__all__ = [
    "BundleFacts",
    "PreviewServer",
    "WebEngine",
    "cached_folder",
    "fetch_web_engine",
    "open_web_engine",
    "preview_server",
    "read_facts",
]
