"""`edgegen preview`: chat with a bundle in MediaPipe's web engine, in the browser's GPU."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
import webbrowser
from pathlib import Path

from edgegen.cli.ending import Ended

EXAMPLES = """examples:
  edgegen preview --fetch
  edgegen preview model.task
  edgegen preview model.task --no-open --port 8080
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    parser.add_argument(
        "bundle",
        type=Path,
        nargs="?",
        metavar="BUNDLE",
        help="a .task file",
    )
    parser.add_argument(
        "--port", type=_port, default=0, metavar="N", help="listen there (any that is free)"
    )
    parser.add_argument(
        "--open",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="open the browser (if there is a display)",
    )
    parser.add_argument(
        "--engine-dir",
        type=Path,
        metavar="DIR",
        help="MediaPipe's web engine, an unpacked npm package (what --fetch has fetched)",
    )
    parser.add_argument(
        "--fetch", action="store_true", help="fetch MediaPipe's web engine with npm, once"
    )
    parser.set_defaults(usage_error=parser.error)


def run(arguments: argparse.Namespace) -> int:
    """Serve the page until Ctrl-C; with --json tell where it is on the first line."""
    from edgegen.bundle.preview import open_web_engine, preview_server, read_facts

    if arguments.bundle is None and not arguments.fetch:
        arguments.usage_error("name a BUNDLE, or --fetch the engine")
    # First, so that nothing is downloaded for a bundle that cannot be shown.
    facts = read_facts(arguments.bundle) if arguments.bundle else None
    engine = open_web_engine(_engine_folder(arguments))
    if facts is None:
        fetched = {"engine_dir": str(engine.folder), "engine_version": engine.version}
        print(json.dumps(fetched) if arguments.json else engine.folder)
        return 0
    with preview_server(facts, engine, arguments.port) as server:
        told: dict[str, object] = {
            "url": server.url,
            "bundle": str(facts.path),
            "kv_cache_len": facts.kv_cache_len,
            "engine_dir": str(engine.folder),
            "engine_version": engine.version,
        }
        print(json.dumps(told) if arguments.json else server.url, flush=True)
        _note(f"{facts.path.name} is served to this machine alone; Ctrl-C ends it")
        if _has_display() if arguments.open is None else arguments.open:
            # It may wait for the browser, which waits for the page.
            threading.Thread(target=webbrowser.open, args=(server.url,), daemon=True).start()
        try:
            server.serve_forever()
        except KeyboardInterrupt as ended:
            # There is no other way to end it, so that is no failure.
            if isinstance(ended, Ended) and ended.number != signal.SIGINT:
                raise
    return 0


def _engine_folder(arguments: argparse.Namespace) -> Path:
    from edgegen.bundle.preview import cached_folder, fetch_web_engine

    if arguments.engine_dir is not None:
        if arguments.fetch:
            arguments.usage_error("--fetch fills a folder of its own: leave out --engine-dir")
        return Path(arguments.engine_dir)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgegen"
    if arguments.fetch:
        _note("fetching MediaPipe's web engine, if it is not here yet (24 MB)")
        return fetch_web_engine(cache).folder
    return cached_folder(cache)


def _has_display() -> bool:
    return sys.platform == "darwin" or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")
    )


def _note(text: str) -> None:
    # Here, since it brings tables along; a file may be called anything.
    from edgegen.report.tables import printable

    print(printable(text), file=sys.stderr, flush=True)


def _port(text: str) -> int:
    try:
        port = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"{text} is out of range, expected 0 to 65535")
    return port
