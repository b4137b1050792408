"""The preview's server over real HTTP, and what it tells the page."""

from __future__ import annotations

import http.client
import json
import os
import resource
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgegen.bundle import open_bundle
from edgegen.bundle.preview import (
    PreviewServer,
    open_web_engine,
    preview_server,
    read_facts,
    web_engine,
)
from edgegen.bundle.preview.handler import byte_range
from edgegen.bundle.preview.server import Routes
from edgegen.errors import EdgegenError
from tests.bundle.preview_files import engine_folder
from tests.processes import wait_for

CONTENT = bytes(range(256)) * 40


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PreviewServer]:
    (tmp_path / "secret.txt").write_text("not yours")
    (tmp_path / "model.task").write_bytes(CONTENT)
    (tmp_path / "engine.wasm").write_bytes(b"\0asm")
    routes = Routes()
    routes.add_file("bundle.task", tmp_path / "model.task")
    routes.add_file("engine/engine.wasm", tmp_path / "engine.wasm", "private")
    routes.add_json("", {"a": 1})
    with PreviewServer(routes) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def ask(
    server: PreviewServer,
    route: str,
    headers: dict[str, str] | None = None,
    *,
    method: str = "GET",
    token: str | None = None,
) -> tuple[int, http.client.HTTPMessage, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    try:
        path = f"/{server.token if token is None else token}/{route}"
        connection.request(method, path, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def raw(server: PreviewServer, request: bytes) -> bytes:
    """Send bytes that no client would, and return all that comes back."""
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=10) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
    return received


def test_a_file_is_served_whole(server: PreviewServer) -> None:
    status, headers, body = ask(server, "bundle.task")
    assert (status, body) == (200, CONTENT)
    assert headers["Content-Type"] == "application/octet-stream"
    assert headers["Accept-Ranges"] == "bytes"
    assert headers["Cache-Control"] == "no-store"


def test_the_policy_is_strict_and_on_every_answer(server: PreviewServer) -> None:
    for route, token in (("bundle.task", None), ("none", None), ("", "wrong")):
        headers = ask(server, route, token=token)[1]
        policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == "'self' 'wasm-unsafe-eval'"
        assert all("unsafe-inline" not in sources for sources in policy.values())
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert headers["Cross-Origin-Embedder-Policy"] == "require-corp"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["X-Content-Type-Options"] == "nosniff"


def test_webassembly_has_the_type_that_browsers_want(server: PreviewServer) -> None:
    status, headers, body = ask(server, "engine/engine.wasm")
    assert (status, headers["Content-Type"], body) == (200, "application/wasm", b"\0asm")
    assert headers["Cache-Control"] == "private"


def test_head_has_the_headers_and_no_body(server: PreviewServer) -> None:
    status, headers, body = ask(server, "bundle.task", method="HEAD")
    assert (status, headers["Content-Length"], body) == (200, str(len(CONTENT)), b"")
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    for _ in range(2):  # over one connection: a body would be taken for the second answer
        connection.request("HEAD", f"/{server.token}/none")
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (404, b"")
    connection.close()


@pytest.mark.parametrize(
    ("wanted", "start", "end"),
    [
        ("bytes=0-", 0, len(CONTENT)),
        ("bytes=0-0", 0, 1),
        ("bytes=100-199", 100, 200),
        ("bytes=10000-", 10000, len(CONTENT)),
        ("bytes=10000-99999999", 10000, len(CONTENT)),
        ("bytes=-5", len(CONTENT) - 5, len(CONTENT)),
        ("bytes=-99999999", 0, len(CONTENT)),
    ],
)
def test_a_range_is_a_part(server: PreviewServer, wanted: str, start: int, end: int) -> None:
    status, headers, body = ask(server, "bundle.task", {"Range": wanted})
    assert (status, body) == (206, CONTENT[start:end])
    assert headers["Content-Range"] == f"bytes {start}-{end - 1}/{len(CONTENT)}"
    assert headers["Content-Length"] == str(end - start)


@pytest.mark.parametrize("wanted", [f"bytes={len(CONTENT)}-", "bytes=99999999-", "bytes=-0"])
def test_a_range_outside_the_file_is_refused(server: PreviewServer, wanted: str) -> None:
    status, headers, body = ask(server, "bundle.task", {"Range": wanted})
    assert (status, headers["Content-Range"]) == (416, f"bytes */{len(CONTENT)}")
    assert body == f"the file has {len(CONTENT)} bytes\n".encode()


@pytest.mark.parametrize(
    "wanted", ["bytes=5-1", "bytes=0-1,4-5", "bytes=-", "items=0-1", "bytes=a-b", "bytes=٣-٤", ""]
)
def test_a_range_that_is_none_is_passed_over(server: PreviewServer, wanted: str) -> None:
    encoded = wanted.encode("utf-8").decode("latin-1")
    assert ask(server, "bundle.task", {"Range": encoded})[::2] == (200, CONTENT)


@given(st.text(alphabet="bytes=0123456789-, ", max_size=30), st.integers(0, 100))
def test_whatever_range_is_asked_for_lies_in_the_file(header: str, size: int) -> None:
    try:
        found = byte_range(header, size)
    except ValueError:
        return
    assert found is None or 0 <= found[0] < found[1] <= size


@pytest.mark.parametrize(
    "route",
    [
        "../secret.txt",
        "engine/../../secret.txt",
        "%2e%2e/secret.txt",
        "engine/..%2f..%2fsecret.txt",
        "..\\secret.txt",
        "/secret.txt",
        "secret.txt",
        "engine/",
        "engine",
        "bundle.task/",
        "bundle.task%00",
        "%62undle.task",
    ],
)
def test_what_is_not_named_does_not_exist(server: PreviewServer, route: str) -> None:
    status, _, body = ask(server, route)
    assert (status, body) == (404, b"there is no such file\n")


def test_an_absolute_path_does_not_exist(server: PreviewServer) -> None:
    for path in ("/etc/passwd", "/", "//etc/passwd", f"http://127.0.0.1/{server.token}/"):
        host = f"127.0.0.1:{server.server_port}"
        got = raw(
            server, f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
        )
        assert got.startswith(b"HTTP/1.1 404 "), got


def test_a_query_changes_nothing(server: PreviewServer) -> None:
    assert ask(server, "bundle.task?x=../secret.txt")[::2] == (200, CONTENT)


@pytest.mark.parametrize("token", ["", "wrong", "ü", "..", "\u0130" * 22])
def test_without_the_token_there_is_nothing(server: PreviewServer, token: str) -> None:
    encoded = token.encode("utf-8")
    host = f"127.0.0.1:{server.server_port}".encode()
    got = raw(
        server,
        b"GET /"
        + encoded
        + b"/bundle.task HTTP/1.1\r\nHost: "
        + host
        + b"\r\nConnection: close\r\n\r\n",
    )
    assert got.startswith(b"HTTP/1.1 404 ")
    assert got.endswith(b"open the whole address that `edgegen preview` printed\n")


def test_tokens_differ_and_are_long(tmp_path: Path) -> None:
    with PreviewServer(Routes()) as one, PreviewServer(Routes()) as other:
        assert one.token != other.token
        assert len(one.token) >= 22
        assert one.url == f"http://127.0.0.1:{one.server_port}/{one.token}/"


@pytest.mark.parametrize(
    "host", ["example.com", "example.com:{port}", "127.0.0.1", "", "0.0.0.0:{port}"]
)
def test_another_host_is_refused(server: PreviewServer, host: str) -> None:
    """Its name was made to lead here, so that a page of its own may read the answer."""
    status, _, body = ask(server, "bundle.task", {"Host": host.format(port=server.server_port)})
    assert status == 421
    assert body == f"this is 127.0.0.1:{server.server_port} and no other host\n".encode()


def test_localhost_is_this_host(server: PreviewServer) -> None:
    headers = {"Host": f"localhost:{server.server_port}"}
    assert ask(server, "bundle.task", headers)[0] == 200


def test_a_request_without_a_host_is_refused(server: PreviewServer) -> None:
    got = raw(server, f"GET /{server.token}/bundle.task HTTP/1.0\r\n\r\n".encode())
    assert got.startswith(b"HTTP/1.1 421 ")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "CONNECT"])
def test_nothing_but_reading(server: PreviewServer, method: str) -> None:
    assert ask(server, "bundle.task", method=method)[0] == 501


@pytest.mark.parametrize(
    "request_bytes",
    [b"\0\xff\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"", b"x" * 70000],
)
def test_nonsense_harms_nobody(server: PreviewServer, request_bytes: bytes) -> None:
    got = raw(server, request_bytes)
    assert got == b"" or b" 40" in got.split(b"\r\n")[0] or b" 50" in got or b"414" in got
    assert ask(server, "bundle.task")[0] == 200


def test_a_browser_that_leaves_harms_nobody(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    large = tmp_path / "large.task"
    with large.open("wb") as file:
        file.truncate(1 << 30)
    routes = Routes()
    routes.add_file("bundle.task", large)
    with PreviewServer(routes) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        host = f"127.0.0.1:{server.server_port}"
        request = f"GET /{server.token}/bundle.task HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
        with socket.create_connection(("127.0.0.1", server.server_port)) as leaving:
            leaving.sendall(request)
            assert leaving.recv(1000).startswith(b"HTTP/1.1 200")
        assert ask(server, "bundle.task", {"Range": "bytes=0-3"})[::2] == (206, bytes(4))
        # One stays and takes nothing: closing the server must not wait for it.
        staying = socket.create_connection(("127.0.0.1", server.server_port))
        staying.sendall(request)
        assert staying.recv(1000).startswith(b"HTTP/1.1 200")
        server.shutdown()
        thread.join()
    staying.close()
    assert wait_for(lambda: threading.active_count() == threading_before(), timeout_s=5)
    assert capfd.readouterr().err == ""


def threading_before() -> int:
    """Threads that are not the server's: all whose names do not tell that they serve a request."""
    return sum("process_request" not in thread.name for thread in threading.enumerate())


def test_a_file_that_becomes_shorter_ends_the_connection(
    server: PreviewServer, tmp_path: Path
) -> None:
    os.truncate(tmp_path / "model.task", 100)
    with pytest.raises(http.client.IncompleteRead) as caught:
        ask(server, "bundle.task")
    assert caught.value.partial == CONTENT[:100]


def test_a_file_that_is_replaced_stays_as_it_was(server: PreviewServer, tmp_path: Path) -> None:
    (tmp_path / "new").write_bytes(b"another")
    (tmp_path / "new").replace(tmp_path / "model.task")
    assert ask(server, "bundle.task")[::2] == (200, CONTENT)


def test_it_takes_little_memory_whatever_the_size(tmp_path: Path) -> None:
    large = tmp_path / "large.task"
    with large.open("wb") as file:
        file.truncate(1 << 30)
    routes = Routes()
    routes.add_file("bundle.task", large)
    with PreviewServer(routes) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=60)
        connection.request("GET", f"/{server.token}/bundle.task")
        answer, received = connection.getresponse(), 0
        while chunk := answer.read(1 << 20):
            received += len(chunk)
        connection.close()
        server.shutdown()
        thread.join()
    assert received == 1 << 30
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024


def test_a_port_that_is_taken_is_named(server: PreviewServer) -> None:
    with pytest.raises(EdgegenError) as caught:
        PreviewServer(Routes(), server.server_port)
    assert caught.value.message == (
        f"cannot listen on port {server.server_port} of 127.0.0.1: Address already in use"
    )
    assert caught.value.hint == "choose another --port, or leave it out for any that is free"


def test_a_bundle_with_its_page_and_engine(demo_task: Path, tmp_path: Path) -> None:
    engine = open_web_engine(engine_folder(tmp_path / "engine"))
    with preview_server(read_facts(demo_task), engine) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            told = json.loads(ask(server, "facts.json")[2])
            assert ask(server, "bundle.task")[2] == demo_task.read_bytes()
            status, headers, page = ask(server, "")
            assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
            for name in web_engine.FILES:
                assert ask(server, f"engine/{name}")[2] == name.encode()
            for name in ("app.js", "worker.js", "style.css", "icon.svg"):
                assert ask(server, name)[0] == 200, name
        finally:
            server.shutdown()
            thread.join()
    bundle = open_bundle(demo_task)
    assert told["name"] == demo_task.name
    assert str(demo_task.parent) not in json.dumps(told)
    assert (told["kv_cache_len"], told["prefill_lens"]) == (512, [16, 32, 128])
    assert told["file_bytes"] == demo_task.stat().st_size
    assert told["template"] == {role: ["", ""] for role in ("system", "user", "model")}
    assert (told["start_token"], told["stop_tokens"]) == (
        "<s>",
        list(bundle.parameters.stop_tokens),
    )
    # What the checkpoint says of sampling; of the length of answers it says nothing.
    assert told["sampler"] == {"temperature": 0.7, "top_k": 40, "seed": None}
    assert (told["system_prompt"], told["engine_system_prompt"]) == ("", "")
    assert told["max_output_tokens"] == 512
    # Nothing inline: the policy would stop it.
    assert b"<style" not in page
    assert b' style="' not in page
    assert b"<script>" not in page
    assert b"http:" not in page.replace(b"http://www.w3.org", b"")
    assert b"https:" not in page
