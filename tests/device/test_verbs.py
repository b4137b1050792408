"""`edgegen devices`, `push`, `pull` and `shell`, against the double."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from edgegen.cli import main
from edgegen.device.testing import Adbd
from tests.device.doubles import free_port, plain_environment, wait_for_state
from tests.processes import wait_for
from tests.signals import ORDINARY_SIGNALS

MIB = 1024**2


@pytest.fixture
def environment(home, monkeypatch):
    """No adb server, no device of the user's own; the keys of a test."""
    for name in list(os.environ):
        if name.startswith(("ANDROID_", "ADB_")):
            monkeypatch.delenv(name)
    found = plain_environment(home, free_port())
    for name in ("HOME", "ANDROID_ADB_SERVER_PORT"):
        monkeypatch.setenv(name, found[name])
    return found


@pytest.fixture
def phone(tmp_path, environment):
    root = tmp_path / "phone"
    root.mkdir()
    with Adbd(root, authorized_keys=[], accept_new_keys=True) as double:
        yield double


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "model.task"
    path.write_bytes(os.urandom(2 * MIB + 5))
    return path


def by(double):
    return f"{double.serial}: by adb-direct (an address that no adb server holds)\n"


def there(double, name="model.task"):
    return double.root / "data/local/tmp/edgegen" / name


def test_devices_as_a_table(phone, capsys):
    assert main(["devices", "-d", phone.serial]) == 0
    header, row = capsys.readouterr().out.splitlines()
    assert header.split() == ["serial", "state", "model", "system", "soc", "free", "by"]
    assert row.startswith(f"{phone.serial}  device  Double 1  Android 15  Edgegen D1  ")
    assert row.endswith(" MiB  adb-direct")


def test_devices_as_json_and_one_that_cannot_be_reached(phone, capsys):
    nobody = f"127.0.0.1:{free_port()}"
    words = ["devices", "--json", "-d", phone.serial, "-d", nobody, "-d", "local"]
    assert main(words) == 0
    first, second, third = json.loads(capsys.readouterr().out)
    assert (first["serial"], first["state"], first["model"]) == (phone.serial, "device", "Double 1")
    assert first["free_bytes"] > 0
    assert second == {
        "state": "unreachable",
        "reason": "named",
        "serial": nobody,
        "transport": "auto",
        "error": f"cannot connect to {nobody}: Connection refused",
        "hint": "check the address, and that the device listens there: adb tcpip 5555 over USB "
        "first",
    }
    assert (third["serial"], third["transport"]) == ("local", "local")


def test_devices_at_an_adb_server(server, tmp_path, environment, capsys, monkeypatch):
    """One that can be used, and one whose user has not said yes."""
    port = server.environment["ANDROID_ADB_SERVER_PORT"]
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", port)
    roots = [tmp_path / name for name in ("known", "stranger")]
    for root in roots:
        root.mkdir()
    with Adbd(roots[0]) as known, Adbd(roots[1], authorized_keys=[]) as stranger:
        server.attach(known)
        server("connect", stranger.serial)
        assert wait_for_state(server, stranger.serial, "unauthorized")
        assert main(["devices", "--json"]) == 0
        found = {device["serial"]: device for device in json.loads(capsys.readouterr().out)}
        assert main(["devices"]) == 0
        said = capsys.readouterr()
        for double in (known, stranger):
            server("disconnect", double.serial)
    assert found[known.serial]["model"] == "Double 1"
    assert found[known.serial]["transport"] == "adb-server"
    assert found[known.serial]["reason"] == f"the adb server at 127.0.0.1:{port} holds it"
    assert found[stranger.serial]["state"] == "unauthorized"
    message = f"{stranger.serial} has not authorized this computer"
    assert found[stranger.serial]["error"] == message
    assert f"{message}\nhint: look at the phone's screen and accept" in said.err
    assert re.search(rf"^{stranger.serial} +unauthorized +adb-server$", said.out, re.MULTILINE)


def test_no_device_at_all(environment, capsys, monkeypatch):
    monkeypatch.setattr("edgegen.device.transports.adb_direct.list_usb", list)
    assert main(["devices"]) == 1
    assert capsys.readouterr().err == "no device found; --device names one\n"
    assert main(["devices", "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == []
    assert main(["shell", "true"]) == 1
    port = environment["ANDROID_ADB_SERVER_PORT"]
    assert capsys.readouterr().err == (
        f"error: no device found; looked at the adb server at 127.0.0.1:{port}, USB\n"
        "hint: plug in a phone with USB debugging switched on, or name one: --device HOST:5555 "
        "for adb over a network, --device local for this machine\n"
    )


def test_push_and_what_it_prints(phone, source, capsys):
    assert main(["push", str(source), "-d", phone.serial, "--verify"]) == 0
    said = capsys.readouterr()
    assert said.err == by(phone)
    assert re.fullmatch(
        rf"/data/local/tmp/edgegen/model\.task on {phone.serial}: 2\.00 MiB sent, [\d.]+ MiB/s, "
        r"verified by sha256\n",
        said.out,
    )
    assert there(phone).read_bytes() == source.read_bytes()
    assert main(["push", str(source), "-d", phone.serial]) == 0
    assert capsys.readouterr().out == (
        f"/data/local/tmp/edgegen/model.task on {phone.serial} was there already (2.00 MiB, same "
        "SHA-256)\n"
    )


def test_push_as_json_to_the_device_of_android_serial(phone, source, capsys, monkeypatch):
    monkeypatch.setenv("ANDROID_SERIAL", phone.serial)
    assert main(["push", str(source), "--json", "--mode", "755"]) == 0
    [file] = json.loads(capsys.readouterr().out)["files"]
    assert file.pop("seconds") > 0
    assert file == {
        "serial": phone.serial,
        "source": str(source),
        "path": "/data/local/tmp/edgegen/model.task",
        "size": 2 * MIB + 5,
        "sha256": hashlib.sha256(source.read_bytes()).hexdigest(),
        "skipped": False,
        "resumed_from": 0,
        "verified_by": None,
        "notes": [],
    }
    assert there(phone).stat().st_mode & 0o777 == 0o755


def test_push_to_two_of_which_one_has_no_space(phone, source, tmp_path, capsys):
    (tmp_path / "full").mkdir()
    with Adbd(tmp_path / "full", reported_free_bytes=1000) as full:
        words = ["push", str(source), "-d", phone.serial, "-d", full.serial]
        assert main(words) == 1
        said = capsys.readouterr()
        assert by(phone) in said.err
        assert by(full) in said.err
        assert said.err.replace(by(phone), "").replace(by(full), "") == (
            f"error: {full.serial}: /data/local/tmp/edgegen on {full.serial} has too little space: "
            "2.0 MiB are needed, 0.0 MiB are free\n"
            "hint: remove files there (edgegen shell -- ls -la /data/local/tmp/edgegen), or choose "
            "another folder with --to\n"
        )
        assert "2.00 MiB sent" in said.out
        assert main([*words, "--json"]) == 1
        record = json.loads(capsys.readouterr().out)
    assert [file["skipped"] for file in record["files"]] == [True]
    assert [error["serial"] for error in record["errors"]] == [full.serial]


def test_push_to_a_read_only_place(phone, source, capsys):
    said = "mkdir: '/system/x': Read-only file system"
    program = phone._folder / "mkdir"
    program.write_text(f'#!/bin/sh\necho "{said}" >&2\nexit 1\n')
    program.chmod(0o755)
    assert main(["push", str(source), "-d", phone.serial, "--to", "/system/x"]) == 1
    assert capsys.readouterr().err == by(phone) + (
        f"error: cannot write /system/x on {phone.serial}: Read-only file system\n"
        "hint: choose another folder with --to; /data/local/tmp is writable on Android\n"
    )


def test_notes_are_printed(source, tmp_path, environment, capsys):
    (tmp_path / "old").mkdir()
    with Adbd(tmp_path / "old", missing=("sha256sum", "toybox", "busybox", "openssl")) as old:
        assert main(["push", str(source), "-d", old.serial]) == 0
        assert capsys.readouterr().err == by(old) + (
            f"note: {old.serial}: the device has no sha256sum: compared by sha1\n"
        )


def test_pull(phone, source, tmp_path, capsys):
    there(phone).parent.mkdir(parents=True)
    there(phone).write_bytes(source.read_bytes())
    out = tmp_path / "back.task"
    assert main(["pull", "model.task", "-d", phone.serial, "-o", str(out)]) == 0
    assert capsys.readouterr().out == (
        f"{out} (2.00 MiB) from /data/local/tmp/edgegen/model.task on {phone.serial}\n"
    )
    assert out.read_bytes() == source.read_bytes()
    assert main(["pull", "model.task", "-d", phone.serial, "-o", str(out)]) == 1
    assert f"error: output {out} exists\n" in capsys.readouterr().err
    words = ["pull", "model.task", "-d", phone.serial, "-o", str(out), "--force", "--json"]
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out) == {
        "serial": phone.serial,
        "path": "/data/local/tmp/edgegen/model.task",
        "output": str(out),
        "size": 2 * MIB + 5,
        "sha256": hashlib.sha256(source.read_bytes()).hexdigest(),
    }


def test_a_pull_that_breaks_leaves_what_was_there(phone, tmp_path, capsys):
    there(phone).parent.mkdir(parents=True)
    there(phone).write_bytes(os.urandom(5 * MIB))
    out = tmp_path / "back.task"
    out.write_bytes(b"before")
    phone.faults.arm(close_after_sent=3 * MIB)
    assert main(["pull", "model.task", "-d", phone.serial, "-o", str(out), "--force"]) == 1
    assert f"error: lost the connection to {phone.serial}: " in capsys.readouterr().err
    assert out.read_bytes() == b"before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["back.task", "phone"]


def test_pull_stays_in_its_folder(phone, tmp_path, capsys):
    out = str(tmp_path / "x")
    assert main(["pull", "../../../etc/passwd", "-d", phone.serial, "-o", out]) == 1
    assert "error: refused the path '../../../etc/passwd': it leads out of " in (
        capsys.readouterr().err
    )


def test_shell(phone, capfdbinary):
    assert main(["shell", "-d", phone.serial, "echo out; echo err >&2; exit 7"]) == 7
    said = capfdbinary.readouterr()
    assert said.out == b"out\n"
    assert said.err.endswith(b"err\n")
    assert main(["shell", "-d", phone.serial, "--", "printf", "%s|", "a b", "$HOME", "-x"]) == 0
    assert capfdbinary.readouterr().out == b"a b|$HOME|-x|"


def test_shell_as_json(phone, capsys):
    assert main(["shell", "--json", "-d", phone.serial, "echo out; echo err >&2; exit 7"]) == 7
    assert json.loads(capsys.readouterr().out) == {
        "serial": phone.serial,
        "exit_code": 7,
        "stdout": "out\n",
        "stderr": "err\n",
        "merged": False,
    }


def test_shell_with_a_timeout(phone, capsys):
    assert main(["shell", "-d", phone.serial, "--timeout", "0.5", "sleep 60"]) == 1
    assert f"error: {phone.serial} did not finish within 0.5 s\n" in capsys.readouterr().err


@pytest.mark.parametrize("mode", ["888", "x", "-1", "1777"])
def test_permissions_that_are_none(mode, capsys):
    with pytest.raises(SystemExit):
        main(["push", "x", f"--mode={mode}"])
    assert f"argument --mode: '{mode}' is no permission like 644 or 755" in capsys.readouterr().err


def test_ctrl_c_ends_a_push_that_then_goes_on(phone, tmp_path, environment, capsys):
    source = tmp_path / "model.task"
    source.write_bytes(os.urandom(20 * MIB))
    phone.faults.bytes_per_s = 10 * MIB
    command = [*ORDINARY_SIGNALS, sys.executable, "-m", "edgegen"]
    with subprocess.Popen(
        [*command, "push", str(source), "-d", phone.serial], stderr=subprocess.PIPE, text=True
    ) as process:
        assert wait_for(lambda: phone.faults.received > 5 * MIB, timeout_s=30)
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=30)
    assert time.monotonic() - began < 5
    assert process.returncode == 130
    assert stderr.endswith(
        "error: interrupted\nhint: nothing was left half-written; run the command again\n"
    )
    assert not there(phone).exists()
    phone.faults.bytes_per_s = None
    assert main(["push", str(source), "-d", phone.serial, "--verify", "--json"]) == 0
    [file] = json.loads(capsys.readouterr().out)["files"]
    assert file["resumed_from"] >= 2 * MIB
    assert there(phone).read_bytes() == source.read_bytes()
    assert [path.name for path in there(phone).parent.iterdir()] == ["model.task"]


def test_progress_on_a_terminal_tells_rate_and_time_left(phone, tmp_path, environment):
    import pty

    source = tmp_path / "model.task"
    source.write_bytes(os.urandom(10 * MIB))
    phone.faults.bytes_per_s = 5 * MIB
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "edgegen", "push", str(source), "-d", phone.serial]
    with subprocess.Popen(
        command,
        stderr=theirs,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "COLUMNS": "140", "TERM": "xterm"},
    ) as process:
        os.close(theirs)
        seen = bytearray()
        while True:
            try:
                seen += os.read(ours, 65536)
            except OSError:  # Linux's way of saying that nobody writes any more
                break
    os.close(ours)
    assert process.returncode == 0
    text = re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", bytes(seen)).decode()
    assert f"push model.task to {phone.serial}" in text
    assert re.search(r"[\d.]+/10\.\d+ MiB", text) or re.search(r"[\d.]+/10\.\d+ [A-Z]", text)
    assert re.search(r"[\d.]+ MB/s", text)
    assert re.search(r"\d:\d\d:\d\d", text)


def test_a_push_to_one_that_is_unreachable_does_not_stop_the_other(phone, source, capsys):
    nobody = f"127.0.0.1:{free_port()}"
    assert main(["push", str(source), "-d", nobody, "-d", phone.serial]) == 1
    assert there(phone).read_bytes() == source.read_bytes()
    said = capsys.readouterr()
    assert "2.00 MiB sent" in said.out
    assert f"error: {nobody}: cannot connect to {nobody}: Connection refused\n" in said.err


def test_a_file_that_was_there_by_another_hash(source, tmp_path, environment, capsys):
    (tmp_path / "old").mkdir()
    with Adbd(tmp_path / "old", missing=("sha256sum", "toybox", "busybox", "openssl")) as old:
        for _ in range(2):
            assert main(["push", str(source), "-d", old.serial]) == 0
        assert capsys.readouterr().out.endswith(" was there already (2.00 MiB, same SHA-1)\n")


def test_what_a_device_says_does_not_take_over_the_terminal(tmp_path, source, environment, capsys):
    """Its name, its errors, whatever it is that holds an escape sequence."""
    evil = "\x1b]0;owned\x07\x1b[2J"
    (tmp_path / "evil").mkdir()
    mkdir = f"printf '%s\\n' '{evil}' >&2; exit 1"
    properties = {"ro.product.model": evil, "ro.build.version.sdk": "35"}
    with Adbd(tmp_path / "evil", commands={"mkdir": mkdir}, properties=properties) as device:
        assert main(["devices", "-d", device.serial]) == 0
        words = ["push", str(source), "-d", device.serial]
        assert main(words) == 1
        assert main([*words, "-d", "local", "--to", str(tmp_path / "here")]) == 1
    said = capsys.readouterr()
    assert "owned" in said.out
    assert "owned" in said.err
    assert not set("\x1b\x07") & set(said.out + said.err)


def test_names_that_are_not_utf_8_are_printed(phone, tmp_path, capsys):
    source = tmp_path / os.fsdecode(b"\xff.task")
    source.write_bytes(b"x")
    assert main(["push", str(source), "-d", phone.serial]) == 0
    assert "/data/local/tmp/edgegen/\ufffd.task on " in capsys.readouterr().out


def test_devices_tells_why_each_is_reached_as_it_is(phone, capsys):
    assert main(["devices", "--json", "-d", phone.serial, "-d", "local"]) == 0
    reasons = [device["reason"] for device in json.loads(capsys.readouterr().out)]
    assert reasons == ["an address that no adb server holds", "named so"]


def test_ctrl_c_while_a_device_is_silent(phone, source, environment):
    phone.faults.arm(stall_after_received=1500)
    command = [*ORDINARY_SIGNALS, sys.executable, "-m", "edgegen"]
    with subprocess.Popen(
        [*command, "push", str(source), "-d", phone.serial], stderr=subprocess.PIPE, text=True
    ) as process:
        assert wait_for(lambda: phone.faults.happened, timeout_s=30)
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert time.monotonic() - began < 6
    assert process.returncode == 130
