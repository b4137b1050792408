"""Where the preview's engine comes from: an unpacked package, or npm and a pinned hash."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import shutil
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from edgegen.bundle.preview import fetch_web_engine, open_web_engine, web_engine
from edgegen.errors import EngineError
from tests.bundle.preview_files import engine_folder


def test_a_folder_without_an_engine_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EngineError) as caught:
        open_web_engine(tmp_path)
    assert caught.value.message == f"no web engine in {tmp_path}: there is no package.json"
    assert caught.value.hint == "get it: edgegen preview --fetch"


@pytest.mark.parametrize(
    ("manifest", "says"),
    [
        ("{", "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        ("[" * 100_000, "maximum recursion depth exceeded"),
        ("[]", "list indices must be integers or slices, not str"),
        ("{}", "'name'"),
        (" " * (1 << 20) + "{}", "it is too large"),
    ],
)
def test_a_manifest_that_is_none_is_refused(tmp_path: Path, manifest: str, says: str) -> None:
    engine_folder(tmp_path)
    (tmp_path / "package.json").write_text(manifest)
    with pytest.raises(EngineError) as caught:
        open_web_engine(tmp_path)
    start = f"{tmp_path / 'package.json'} is not a package's manifest: {says}"
    assert caught.value.message.startswith(start)


def test_another_package_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EngineError) as caught:
        open_web_engine(engine_folder(tmp_path, name="left-pad"))
    assert caught.value.message == (
        f"{tmp_path} holds the package 'left-pad', expected @mediapipe/tasks-genai"
    )


def test_an_engine_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    engine_folder(tmp_path)
    (tmp_path / "wasm" / "genai_wasm_module_internal.wasm").unlink()
    with pytest.raises(EngineError) as caught:
        open_web_engine(tmp_path)
    assert caught.value.message == (
        f"the web engine in {tmp_path} lacks wasm/genai_wasm_module_internal.wasm"
    )


def package(folder: Path, **others: bytes) -> bytes:
    """An npm archive of files that are named like the engine's."""
    source = engine_folder(folder / "source")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name in ("package.json", *web_engine.FILES):
            archive.add(source / name, f"package/{name}")
        for name, content in others.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def integrity(data: bytes) -> str:
    return f"sha512-{base64.b64encode(hashlib.sha512(data).digest()).decode()}"


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """A registry on this machine that npm is configured for; `archive` is what it hands out."""
    if shutil.which("npm") is None:
        pytest.skip("there is no npm")
    state: dict[str, Any] = {"archive": package(tmp_path), "asked": []}

    class Registry(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state["asked"].append(self.path)
            body = state["archive"] if self.path.endswith(".tgz") else self._document()
            self.send_response(200 if "tasks-genai" in self.path else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _document(self) -> bytes:
            tarball = f"http://127.0.0.1:{server.server_port}/tasks-genai-0.10.29.tgz"
            version = {
                "name": web_engine.PACKAGE,
                "version": "0.10.29",
                "dist": {"tarball": tarball, "integrity": integrity(state["archive"])},
            }
            return json.dumps(
                {
                    "name": web_engine.PACKAGE,
                    "dist-tags": {"latest": "0.10.29"},
                    "versions": {"0.10.29": version},
                }
            ).encode()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Registry)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    monkeypatch.setenv("npm_config_registry", f"http://127.0.0.1:{server.server_port}/")
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "npm"))
    monkeypatch.setenv("npm_config_fetch_retries", "0")
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_npm_fetches_the_engine_once(
    registry: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry["archive"] = package(tmp_path, **{"package/../../evil": b"x", "package/more.js": b"x"})
    monkeypatch.setattr(web_engine, "INTEGRITY", integrity(registry["archive"]))
    engine = fetch_web_engine(tmp_path / "cache")
    assert engine.folder == (tmp_path / "cache" / "web-engine-0.10.29").resolve()
    assert engine.version == "0.10.29"
    files = sorted(
        str(path.relative_to(tmp_path / "cache"))
        for path in (tmp_path / "cache").rglob("*")
        if path.is_file()
    )
    expected = sorted(("package.json", *web_engine.FILES))
    assert files == [f"web-engine-0.10.29/{name}" for name in expected]
    asked = len(registry["asked"])
    assert asked >= 2
    assert fetch_web_engine(tmp_path / "cache") == engine
    assert len(registry["asked"]) == asked


@pytest.mark.parametrize("damage", ["manifest", "missing", "empty", "other", "no folder"])
def test_an_engine_that_is_damaged_is_fetched_anew(
    registry: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    monkeypatch.setattr(web_engine, "INTEGRITY", integrity(registry["archive"]))
    folder = tmp_path / "cache" / "web-engine-0.10.29"
    if damage == "no folder":
        folder.parent.mkdir()
        folder.write_text("a file")
    else:
        engine_folder(folder, **({"name": "left-pad"} if damage == "other" else {}))
    wasm = folder / "wasm" / "genai_wasm_module_internal.wasm"
    if damage == "manifest":
        (folder / "package.json").write_text("{")
    elif damage == "missing":
        wasm.unlink()
    elif damage == "empty":
        wasm.write_bytes(b"")

    engine = fetch_web_engine(tmp_path / "cache")

    assert open_web_engine(folder) == engine
    assert wasm.read_bytes() == b"wasm/genai_wasm_module_internal.wasm"
    assert list((tmp_path / "cache").iterdir()) == [folder]


def test_what_is_damaged_stays_while_nothing_better_came(
    registry: dict[str, Any], tmp_path: Path
) -> None:
    folder = tmp_path / "cache" / "web-engine-0.10.29"
    (folder / "mine").mkdir(parents=True)
    with pytest.raises(EngineError, match="npm fetched another"):
        fetch_web_engine(tmp_path / "cache")
    assert list(folder.iterdir()) == [folder / "mine"]


def test_other_bytes_than_the_pinned_are_refused(registry: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(EngineError) as caught:
        fetch_web_engine(tmp_path / "cache")
    assert caught.value.message == (
        "npm fetched another @mediapipe/tasks-genai@0.10.29: "
        f"{integrity(registry['archive'])}, expected {web_engine.INTEGRITY}"
    )
    assert list((tmp_path / "cache").iterdir()) == []


def test_the_pin_is_that_of_the_lock() -> None:
    lock = json.loads((Path(__file__).parents[1] / "engines" / "package-lock.json").read_text())
    entry = lock["packages"][f"node_modules/{web_engine.PACKAGE}"]
    assert (entry["version"], entry["integrity"]) == (web_engine.VERSION, web_engine.INTEGRITY)


def test_what_npm_says_is_told(
    registry: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web_engine, "VERSION", "9.9.9")
    with pytest.raises(EngineError) as caught:
        fetch_web_engine(tmp_path / "cache")
    assert caught.value.message.startswith(
        "npm did not fetch @mediapipe/tasks-genai@9.9.9 (exit status 1): "
    )
    assert list((tmp_path / "cache").iterdir()) == []


def test_without_npm_the_way_around_is_told(tmp_path: Path) -> None:
    with pytest.raises(EngineError) as caught:
        fetch_web_engine(tmp_path, npm="no-such-npm")
    assert caught.value.message == "no no-such-npm on PATH, which fetches @mediapipe/tasks-genai"
    assert caught.value.hint == (
        "install Node.js with npm, or unpack the package yourself and pass --engine-dir"
    )


def test_an_npm_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "npm"
    fake.write_text("#!/bin/sh\nexec sleep 60\n")
    fake.chmod(0o755)
    with pytest.raises(EngineError) as caught:
        fetch_web_engine(tmp_path / "cache", npm=str(fake), timeout_s=0.2)
    assert caught.value.message == "npm did not fetch @mediapipe/tasks-genai@0.10.29 within 0.2 s"
    assert list((tmp_path / "cache").iterdir()) == []
