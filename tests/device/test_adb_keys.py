"""The keys by which a device knows this computer."""

from __future__ import annotations

import os
import stat
import sys
import threading

import pytest

from edgegen.device.transports import failures
from edgegen.device.transports.adb_keys import (
    _write_public_half,
    load_keys,
    make_key,
    standard_key,
)
from edgegen.errors import DeviceError


def failed(call, kind):
    with pytest.raises(kind) as caught:
        call()
    return str(caught.value), caught.value.hint


def test_a_key_is_made_for_its_owner_alone(tmp_path):
    os.umask(before := os.umask(0))
    assert before != 0o077, "the mode would be right by chance"
    [signer] = load_keys({"HOME": str(tmp_path)})
    private = tmp_path / ".android/adbkey"
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert signer.GetPublicKey() == private.with_name("adbkey.pub").read_bytes()
    assert sorted(path.name for path in private.parent.iterdir()) == ["adbkey", "adbkey.pub"]


def test_a_key_that_is_there_is_kept(tmp_path):
    load_keys({"HOME": str(tmp_path)})
    before = standard_key({"HOME": str(tmp_path)}).read_bytes()
    load_keys({"HOME": str(tmp_path)})
    make_key(standard_key({"HOME": str(tmp_path)}))
    assert standard_key({"HOME": str(tmp_path)}).read_bytes() == before


def test_a_private_key_without_its_public_half(tmp_path):
    key = standard_key({"HOME": str(tmp_path)})
    make_key(key)
    public = key.with_name("adbkey.pub")
    before = public.read_bytes()
    public.unlink()
    load_keys({"HOME": str(tmp_path)})
    assert public.read_bytes() == before


def test_two_who_make_a_key_at_once_have_one_pair(tmp_path):
    key = tmp_path / "adbkey"
    threads = [threading.Thread(target=make_key, args=(key,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    before = key.with_name("adbkey.pub").read_bytes()
    key.with_name("adbkey.pub").unlink()
    _write_public_half(key)
    assert key.with_name("adbkey.pub").read_bytes() == before


def test_further_keys_of_vendors(tmp_path):
    make_key(tmp_path / "vendor/one.adb_key")
    environment = {"HOME": str(tmp_path), "ADB_VENDOR_KEYS": str(tmp_path / "vendor")}
    assert len(load_keys(environment)) == 2


def test_without_adb_shell_that_is_said(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "adb_shell.auth.sign_cryptography", None)
    message, hint = failed(lambda: load_keys({"HOME": str(tmp_path)}), failures.MissingLibraryError)
    assert message == "adb needs adb-shell, which is not installed"
    assert hint.startswith("pip install 'edgegen[adb]'")


def test_a_key_that_is_none(tmp_path):
    key = standard_key({"HOME": str(tmp_path)})
    make_key(key)
    key.write_text("not a key")
    message, hint = failed(lambda: load_keys({"HOME": str(tmp_path)}), DeviceError)
    assert message.startswith(f"the adb key {key} cannot be used: ")
    assert hint == (
        f"move it and {key}.pub away, and a new pair is made; or repair it with adb pubkey {key} > "
        f"{key}.pub"
    )
