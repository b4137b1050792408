"""Logs that say the same again and again are read in time."""

from __future__ import annotations

import time

import pytest

from edgegen.device.bench.causes import failure_of


@pytest.mark.parametrize(
    "text",
    [
        "ERROR: Following operations are not supported by GPU delegate:\n",
        "Abort message: '" + " " * 200,
        "lowmemorykiller: Kill 'x' (1) ",
    ],
)
def test_what_is_said_again_and_again_is_read_in_time(text):
    log = text * (2**21 // len(text))
    began = time.monotonic()
    found = failure_of(log, exit_code=137, delegate="gpu", logcat=log, tombstone=log, pid=2)
    assert time.monotonic() - began < 10
    assert found.kind == "crashed"
