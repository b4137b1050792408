"""`edgegen preview` as a user types it: what it prints, how it ends, what it refuses."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edgegen.cli import main
from tests.bundle.preview_files import engine_folder
from tests.processes import processes_with, wait_for
from tests.signals import ORDINARY_SIGNALS


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    """Files that are named like the engine's; no browser runs them here."""
    return engine_folder(tmp_path / "engine")


@contextmanager
def previewing(
    bundle: Path, engine: Path, *options: str, **environment: str
) -> Iterator[subprocess.Popen[str]]:
    without_display = {
        name: value
        for name, value in os.environ.items()
        if name not in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    }
    command = [sys.executable, "-m", "edgegen", "preview", str(bundle)]
    with subprocess.Popen(
        [*ORDINARY_SIGNALS, *command, "--engine-dir", str(engine), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**without_display, **environment},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def address_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_json_is_the_first_line(demo_task: Path, engine: Path) -> None:
    with previewing(demo_task, engine, "--json") as process:
        told = json.loads(address_of(process))
        with urllib.request.urlopen(told["url"]) as page:
            assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert told == {
        "url": told["url"],
        "bundle": str(demo_task.resolve()),
        "kv_cache_len": 512,
        "engine_dir": str(engine.resolve()),
        "engine_version": "0.10.29",
    }


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 0), (signal.SIGTERM, 128 + signal.SIGTERM)]
)
def test_ctrl_c_is_its_ordinary_end(
    demo_task: Path, engine: Path, number: signal.Signals, status: int
) -> None:
    """Even while a download is under way; and nothing goes on."""
    mark = f"EDGEGEN_TEST_MARK={uuid.uuid4()}"
    with previewing(demo_task, engine, "--no-open", **dict([mark.split("=")])) as process:
        url = address_of(process)
        port, token = url.removeprefix("http://127.0.0.1:").rstrip("/").split("/")
        with socket.create_connection(("127.0.0.1", int(port))) as downloading:
            host = f"127.0.0.1:{port}"
            downloading.sendall(
                f"GET /{token}/bundle.task HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
            )
            assert downloading.recv(1000).startswith(b"HTTP/1.1 200")
            process.send_signal(number)
            out, errors = process.communicate(timeout=30)
        assert process.returncode == status
        assert out == ""
        served = f"{demo_task.name} is served to this machine alone; Ctrl-C ends it\n"
        assert errors.startswith(served)
        if status == 0:
            assert errors == served
        assert wait_for(lambda: processes_with(mark) == [])
        with pytest.raises(ConnectionRefusedError):
            http.client.HTTPConnection("127.0.0.1", int(port)).connect()


@pytest.mark.parametrize(
    ("options", "display", "opens"),
    [
        ((), "", False),
        ((), ":7", True),
        (("--no-open",), ":7", False),
        (("--open",), "", True),
    ],
)
def test_the_browser_is_opened_where_one_can_be_seen(
    demo_task: Path,
    engine: Path,
    tmp_path: Path,
    options: tuple[str, ...],
    display: str,
    opens: bool,
) -> None:
    opened, browser = tmp_path / "opened", tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {opened}.part && mv {opened}.part {opened}\n')
    browser.chmod(0o755)
    environment = {"BROWSER": f"{browser} %s", **({"DISPLAY": display} if display else {})}
    with previewing(demo_task, engine, *options, **environment) as process:
        url = address_of(process)
        if opens:
            assert wait_for(opened.exists, timeout_s=20)
            assert opened.read_text() == f"{url}\n"
        else:
            assert not wait_for(opened.exists, timeout_s=1)


def test_a_chosen_port_is_taken(demo_task: Path, engine: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with previewing(demo_task, engine, "--port", str(port)) as process:
        assert address_of(process).startswith(f"http://127.0.0.1:{port}/")
        with previewing(demo_task, engine, "--port", str(port)) as second:
            _, errors = second.communicate(timeout=60)
            assert second.returncode == 1
    assert errors == (
        f"error: cannot listen on port {port} of 127.0.0.1: Address already in use\n"
        "hint: choose another --port, or leave it out for any that is free\n"
    )


def test_a_missing_engine_names_the_way_to_get_it(
    demo_task: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert main(["preview", str(demo_task)]) == 1
    folder = tmp_path / "edgegen" / "web-engine-0.10.29"
    assert capsys.readouterr() == (
        "",
        f"error: no web engine in {folder}: there is no package.json\n"
        "hint: get it: edgegen preview --fetch\n",
    )


def test_a_missing_bundle_is_named_before_anything_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = tmp_path / "none.task"
    assert main(["preview", str(path), "--fetch"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"error: bundle {path} does not exist, expected a ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("as_json", [False, True])
def test_what_is_fetched_already_is_not_fetched_again(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    as_json: bool,
) -> None:
    """Without npm on PATH, which would fail if it were wanted."""
    folder = engine_folder(tmp_path / "edgegen" / "web-engine-0.10.29").resolve()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", "")
    assert main(["preview", "--fetch", *(["--json"] if as_json else [])]) == 0
    out, err = capsys.readouterr()
    told = {"engine_dir": str(folder), "engine_version": "0.10.29"}
    assert out == (json.dumps(told) if as_json else str(folder)) + "\n"
    assert err == "fetching MediaPipe's web engine, if it is not here yet (24 MB)\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "name a BUNDLE, or --fetch the engine"),
        (["--fetch", "--engine-dir", "x"], "--fetch fills a folder of its own"),
        (["x.task", "--port", "-1"], "argument --port: -1 is out of range, expected 0 to 65535"),
        (["x.task", "--port", "65536"], "argument --port: 65536 is out of range"),
        (["x.task", "--port", "http"], "argument --port: 'http' is not a whole number"),
    ],
)
def test_wrong_arguments_end_with_status_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["preview", *arguments])
    assert caught.value.code == 2
    assert says in capsys.readouterr().err
