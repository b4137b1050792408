"""Files of more than 4 GiB, which do not fit 32 bits: sizes, memory, verification."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.device.doubles import own_process

SIZE = 5 * 1024**3
PUSH = """
import json, sys
from edgegen.device.push import push
from edgegen.device.transports import connect
from edgegen.metering import peak_rss_bytes
source, serial = sys.argv[1:]
with connect(serial, transport="adb-direct") as transport:
    [result] = push([source], transport, verify=True).values()
    [pushed] = result.pushed
    stat = transport.stat(pushed.path)
    # Not ru_maxrss, which begins with what the process that started this one had.
    kib = peak_rss_bytes() // 1024
print(json.dumps([pushed.size, pushed.verified_by, pushed.sha256, stat.size, kib, pushed.seconds]))
"""
# `head -c 5G /dev/zero | sha256sum`
SHA256 = "7f06c62352aebd8125b2a1841e2b9e1ffcbed602f381c3dcb3200200e383d1d5"


@pytest.mark.slow
@pytest.mark.parametrize("words", [(), ("--old",)], ids=["new device", "old device"])
def test_5_gib_with_little_memory(tmp_path, home, words, capsys):
    source, root = tmp_path / "sparse.task", tmp_path / "device"
    root.mkdir()
    with source.open("wb") as file:
        file.truncate(SIZE)
    with own_process(root, "--open", *words, home=home) as about:
        done = subprocess.run(
            [sys.executable, "-c", PUSH, str(source), about["serial"]],
            capture_output=True,
            text=True,
            check=True,
        )
    size, verified, sha256, there, kib, seconds = json.loads(done.stdout)
    with capsys.disabled():
        print(f"\n5 GiB in {seconds:.0f} s, peak {kib / 1024:.0f} MiB")
    assert (size, there, verified, sha256) == (SIZE, SIZE, "sha256", SHA256)
    assert kib < 200 * 1024
    (root / "data/local/tmp/edgegen/sparse.task").unlink()
