"""The double, asked by adb clients that nobody here wrote: Debian's adb, Google's, adb-shell."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

import pytest

from edgegen.device.testing import Adbd
from edgegen.device.transports.adb_keys import make_key
from tests.device.doubles import require_adb, running_server, wait_for_state
from tests.processes import wait_for

SIZE = 200 * 1000**2


@pytest.fixture(scope="module", params=["debian", "adbutils"])
def adb(request, tmp_path_factory):
    """Each adb with a server of its own."""
    program = require_adb(request.param)
    with running_server(program, tmp_path_factory.mktemp(request.param)) as server:
        yield server


@pytest.fixture
def device(adb, tmp_path):
    """A device that lets in the key that this adb has made."""
    key = Path(adb.environment["HOME"]) / ".android/adbkey.pub"
    assert wait_for(key.exists)
    root = tmp_path / "device"
    root.mkdir()
    with Adbd(root, authorized_keys=[key]) as double:
        yield double
        adb("disconnect", double.serial)


def attached(adb, device):
    adb.attach(device)

    def run(*words):
        return adb("-s", device.serial, *words)

    return run


def test_which_adb_this_is(adb, request):
    """Two generations: 29 of 2019, and one of this decade."""
    major = re.search(r"^Version (\d+)\.", adb("version").stdout, re.MULTILINE)
    assert major is not None
    assert (
        int(major.group(1)) >= {"debian": 29, "adbutils": 35}[request.node.callspec.params["adb"]]
    )


def test_a_known_key_connects_at_once(adb, device):
    assert adb("connect", device.serial).stdout == f"connected to {device.serial}\n"
    listed = adb("devices", "-l").stdout
    assert f"{device.serial} " in listed
    assert " device product:double model:Double_1 device:double " in listed


def test_an_unknown_key_waits_for_the_user(adb, tmp_path):
    with Adbd(tmp_path, authorized_keys=[]) as double:
        said = adb("connect", double.serial).stdout
        assert said == f"failed to authenticate to {double.serial}\n"
        assert wait_for_state(adb, double.serial, "unauthorized")
        assert len(double.authorization.waiting) == 1
        double.authorization.accept()
        adb("disconnect", double.serial)
        adb.attach(double)
        assert adb("-s", double.serial, "shell", "echo in").stdout == "in\n"
        adb("disconnect", double.serial)


def test_a_wrong_signature_is_refused(adb, tmp_path):
    other = tmp_path / "other"
    make_key(other)
    with Adbd(tmp_path, authorized_keys=[other.with_name("other.pub")]) as double:
        adb("connect", double.serial)
        assert wait_for_state(adb, double.serial, "unauthorized")
        adb("disconnect", double.serial)


@pytest.mark.parametrize("code", [0, 7, 255])
def test_shell_has_exit_codes_and_separate_errors(adb, device, code):
    done = attached(adb, device)("shell", f"echo out; echo err >&2; exit {code}")
    assert (done.returncode, done.stdout, done.stderr) == (code, "out\n", "err\n")


def test_exec_out_passes_bytes_through(adb, device):
    done = attached(adb, device)("exec-out", "printf 'a\\r\\nb'; getprop ro.product.model")
    assert done.stdout.encode().replace(b"\n", b"|") == b"a|bDouble 1|"  # text mode joins CR LF


def test_push_and_pull_200_mb(adb, device, tmp_path):
    run = attached(adb, device)
    source, back = tmp_path / "source", tmp_path / "back"
    source.write_bytes(os.urandom(SIZE))
    pushed = run("push", str(source), "/data/local/tmp/model")
    assert "1 file pushed" in pushed.stdout + pushed.stderr
    pulled = run("pull", "/data/local/tmp/model", str(back))
    assert "1 file pulled" in pulled.stdout + pulled.stderr
    there = device.root / "data/local/tmp/model"
    digests = {hashlib.sha256(path.read_bytes()).hexdigest() for path in (source, there, back)}
    assert len(digests) == 1


def test_pushing_a_folder_and_listing_it(adb, device, tmp_path):
    run = attached(adb, device)
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    (folder / "a b").write_bytes(b"1")
    (folder / "sub/c").write_bytes(b"2")
    assert run("push", str(folder), "/data/local/tmp/").returncode == 0
    assert (device.root / "data/local/tmp/folder/sub/c").read_bytes() == b"2"
    assert run("pull", "/data/local/tmp/folder", str(tmp_path / "back")).returncode == 0
    assert (tmp_path / "back/a b").read_bytes() == b"1"
    names = {line.split(maxsplit=3)[3] for line in run("ls", "/data/local/tmp").stdout.splitlines()}
    assert names == {".", "..", "folder"}


def test_nothing_outside_the_root_can_be_transferred(adb, device, tmp_path):
    run = attached(adb, device)
    assert run("pull", "/etc/passwd", str(tmp_path / "x")).returncode != 0
    assert run("push", __file__, str(tmp_path / "outside")).returncode != 0
    assert run("push", __file__, "/data/local/tmp/../../../../outside").returncode != 0
    assert not (tmp_path / "outside").exists()
    (device.root / "out").symlink_to(tmp_path)
    assert run("push", __file__, f"{device.root}/out/outside").returncode != 0
    assert not (tmp_path / "outside").exists()


def test_a_full_disk_is_said(adb, device, tmp_path):
    run = attached(adb, device)
    source = tmp_path / "source"
    source.write_bytes(os.urandom(3_000_000))
    device.fill_disk(1_000_000)
    done = run("push", str(source), "/data/local/tmp/model")
    assert done.returncode == 1
    assert "No space left on device" in done.stdout + done.stderr
    assert not (device.root / "data/local/tmp/model").exists()


def test_an_old_device_has_no_exit_codes(adb, tmp_path):
    root = tmp_path / "device"
    root.mkdir()
    with Adbd(root, features=(), version=0x01000000) as double:
        run = attached(adb, double)
        done = run("shell", "echo out; echo err >&2; exit 7")
        assert (done.returncode, done.stdout) == (0, "out\nerr\n")
        source = tmp_path / "source"
        source.write_bytes(os.urandom(1_000_000))
        assert run("push", str(source), "/data/local/tmp/model").returncode == 0
        assert (root / "data/local/tmp/model").read_bytes() == source.read_bytes()
        assert run("pull", "/data/local/tmp/model", str(tmp_path / "back")).returncode == 0
        assert (tmp_path / "back").read_bytes() == source.read_bytes()
        adb("disconnect", double.serial)


def test_adb_shell_of_pypi(tmp_path):
    """The third client: its own transport, signer and old protocol version."""
    from adb_shell.adb_device import AdbDeviceTcp
    from adb_shell.auth.sign_pythonrsa import PythonRSASigner
    from adb_shell.exceptions import DeviceAuthError

    key = tmp_path / "adbkey"
    make_key(key)
    root = tmp_path / "device"
    root.mkdir()
    with Adbd(root, authorized_keys=[key.with_name("adbkey.pub")]) as double:
        client = AdbDeviceTcp("127.0.0.1", double.port)
        with pytest.raises(DeviceAuthError):
            client.connect()
        client.connect(rsa_keys=[PythonRSASigner.FromRSAKeyPath(str(key))])
        assert client.shell("echo out; echo err >&2") == "out\nerr\n"
        source = tmp_path / "source"
        source.write_bytes(os.urandom(3_000_000))
        client.push(str(source), "/data/local/tmp/model")
        assert (root / "data/local/tmp/model").read_bytes() == source.read_bytes()
        client.pull("/data/local/tmp/model", str(tmp_path / "back"))
        assert (tmp_path / "back").read_bytes() == source.read_bytes()
        assert [name for name, *_ in client.list("/data/local/tmp")][2:] == [b"model"]
        client.close()
