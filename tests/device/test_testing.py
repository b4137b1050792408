"""The double by itself: as a program, and how it fails when told to."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
import time

import pytest

from edgegen.device.testing import Adbd
from edgegen.device.transports import connect
from edgegen.device.transports.adb_keys import make_key, standard_key
from edgegen.device.transports.failures import (
    ConnectionLostError,
    DeviceTimeoutError,
    UnauthorizedError,
    UnreachableError,
)
from edgegen.errors import DeviceError
from tests.device.doubles import (
    free_port,
    own_process,
    plain_environment,
    reach_directly,
)
from tests.processes import processes_with, wait_for


def test_it_runs_by_itself_and_lets_its_own_user_in(tmp_path):
    home = tmp_path / "home"
    make_key(standard_key({"HOME": str(home)}))
    environment = plain_environment(home, free_port())
    with (
        own_process(tmp_path, home=home) as about,
        connect(about["serial"], environment=environment) as transport,
    ):
        assert about["root"] == str(tmp_path)
        assert about["serial"] == f"127.0.0.1:{about['port']}"
        assert transport.shell("pwd").text == f"{tmp_path}\n"


def test_it_lets_nobody_else_in(tmp_path, home):
    stranger = tmp_path / "stranger"
    with own_process(tmp_path, home=stranger) as about:
        environment = plain_environment(home, free_port())
        from edgegen.device.transports.adb_direct import AdbDirect
        from edgegen.device.transports.adb_keys import load_keys

        with pytest.raises(UnauthorizedError):
            AdbDirect(about["serial"], keys=lambda: load_keys(environment), authorize_s=0.5)


def test_it_lets_in_whom_it_is_told_to(tmp_path, home):
    make_key(key := standard_key({"HOME": str(home)}))
    words = ("--authorize", str(key.with_name("adbkey.pub")), "--old")
    environment = plain_environment(home, free_port())
    with (
        own_process(tmp_path, *words, home=tmp_path / "other") as about,
        connect(about["serial"], environment=environment) as transport,
    ):
        assert transport.features == frozenset()
        assert transport.shell("exit 3").exit_code == 3


def test_a_root_that_is_no_folder(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "edgegen.device.testing", "--root", str(tmp_path / "x")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.endswith(f"error: {tmp_path / 'x'} is no folder\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_when_told_to(tmp_path, number):
    with subprocess.Popen(
        [sys.executable, "-m", "edgegen.device.testing", "--root", str(tmp_path), "--open"],
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(number)
        assert process.wait(10) == 0


@pytest.fixture
def device(tmp_path):
    with Adbd(tmp_path) as double:
        yield double


def test_a_reboot_ends_commands_and_comes_back(device, home):
    mark = f"EDGEGEN_TEST_MARK={os.urandom(8).hex()}"
    with reach_directly(device, home) as transport:

        def reboot_at_the_first_word() -> None:
            with transport.stream(f"export {mark}; echo on; sleep 60", timeout_s=30) as running:
                for output in running:
                    assert output.data == b"on\n"
                    device.reboot(down_s=0.3)

        with pytest.raises(ConnectionLostError):
            reboot_at_the_first_word()
        assert not processes_with(mark)
        with pytest.raises(DeviceError):
            transport.shell("true")
        time.sleep(0.4)
        assert transport.shell("echo back").text == "back\n"


def test_a_host_may_order_a_reboot(device, home):
    with reach_directly(device, home) as transport:
        from edgegen.device.transports.patience import Patience

        stream = transport._open("reboot:", Patience(device.serial, timeout_s=5))
        with contextlib.suppress(ConnectionLostError):
            assert stream.receive(Patience(device.serial, timeout_s=5)) is None
        with pytest.raises(DeviceError):
            transport.shell("true")


def test_a_stall_is_noticed_and_passes(device, home):
    with reach_directly(device, home) as transport:
        transport.silence_s = 0.5
        device.faults.arm(stall_after_received=2_000_000)
        with pytest.raises(DeviceTimeoutError) as caught:
            transport.push(io.BytesIO(bytes(10_000_000)), "/data/local/tmp/x")
        assert str(caught.value) == f"{device.serial} said nothing within 0.5 s"
        device.faults.release()
        assert transport.shell("echo alive").text == "alive\n"


def test_what_breaks_while_it_is_pulled(device, home, tmp_path):
    (tmp_path / "file").write_bytes(os.urandom(5_000_000))
    with reach_directly(device, home) as transport:
        device.faults.arm(close_after_sent=2_500_000)
        sink = io.BytesIO()
        with pytest.raises(ConnectionLostError):
            transport.pull(f"{tmp_path}/file", sink)
        assert len(sink.getvalue()) < 2_500_000


def test_a_transfer_that_breaks_leaves_no_file_as_in_adbd(device, home):
    with reach_directly(device, home) as transport:
        device.faults.arm(close_after_received=3_000_000)
        with pytest.raises(ConnectionLostError):
            transport.push(io.BytesIO(bytes(10_000_000)), "/data/local/tmp/x")
    assert wait_for(lambda: not (device.root / "data/local/tmp/x").exists())


def test_after_its_end_nothing_listens(tmp_path, home):
    with Adbd(tmp_path) as double:
        pass
    with pytest.raises(UnreachableError):
        reach_directly(double, home)


def test_roots_whose_names_a_shell_would_take_apart(tmp_path):
    (tmp_path / "a b").mkdir()
    with pytest.raises(ValueError, match="has characters that mean something to a shell"):
        Adbd(tmp_path / "a b")


def test_keys_that_are_none(tmp_path):
    with pytest.raises(ValueError, match="no adb public key: 'AAAA'"):
        Adbd(tmp_path, authorized_keys=["AAAA nobody"])
