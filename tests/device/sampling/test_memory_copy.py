"""The rate of memory: really measured here, and whatever a device may print."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgegen.device.sampling import copy_rate
from edgegen.device.sampling.copy_script import DD
from edgegen.device.sampling.memory_copy import parse_copy
from tests.device.sampling.fakes import SHELLS

MIB = 1024**2
GB = 1e9


def test_this_machine(reach):
    rate, how = copy_rate(reach("local").transport)
    # Between a small board's and a large server's.
    assert 0.5 * GB < rate < 5000 * GB
    many = len(os.sched_getaffinity(0))
    assert f" MiB by {min(many, 16)} thread" in how
    assert "read + written; best of " in how


def test_a_device_with_python(reach):
    program = {"python3": f'exec {shlex.quote(sys.executable)} "$@"\n'}
    _, how = copy_rate(reach("adb-direct", commands=program).transport)
    assert how.startswith("memmove of ")


def test_a_device_without_python(reach):
    reached = reach("adb-direct", missing=("python3",))
    rate, how = copy_rate(reached.transport)
    assert 0.1 * GB < rate < 5000 * GB
    assert " dd reading 128 MiB each from the page cache, read only, a lower bound; " in how


def test_a_device_without_anything(reach):
    reached = reach("adb-direct", missing=("python3", "dd"))
    assert copy_rate(reached.transport) is None


def test_a_program_that_lies(reach):
    program = {"python3": "echo edgegen-copy memmove 2 1048576 5 5\n"}
    assert copy_rate(reach("adb-direct", commands=program, missing=("dd",)).transport) is None


@pytest.mark.parametrize("shell", SHELLS)
def test_dd_in_each_shell(shell):
    done = subprocess.run(
        [*shell, "-c", DD], capture_output=True, text=True, timeout=60, check=True
    )
    assert parse_copy(done.stdout) is not None
    assert not list(Path("/dev/shm").glob("edgegen-copy*"))


def test_rates():
    size = 512 * MIB
    marks = "1000000000 1100000000 2000000000 2200000000 3000000000 3400000000"
    assert parse_copy(f"noise\nedgegen-copy memmove 8 {size} {marks}\n") == (
        pytest.approx(2 * size / 0.1),
        "memmove of 512 MiB by 8 threads, read + written; best of 3, median 50% of it",
    )
    assert parse_copy(f"edgegen-copy memmove 1 {size} 1000000000 2000000000\n")[1] == (
        "memmove of 512 MiB by 1 thread, read + written; best of 1, median 100% of it"
    )
    assert parse_copy("edgegen-copy dd 4 2048 100.50 101.00 102.00 103.00\n") == (
        pytest.approx(2048 * MIB / 0.5),
        "4 dd reading 128 MiB each from the page cache, read only, a lower bound; "
        "best of 2, median 75% of it",
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "edgegen-copy\n",
        "edgegen-copy dd 4 2048 5 5\n",  # the clock stood still
        "edgegen-copy dd 4 2048 6 5\n",
        "edgegen-copy dd 4 2048 1 2\n",  # 2 GB in a nanosecond
        "edgegen-copy dd 4 1 1.0 9000000.0\n",
        "edgegen-copy dd 4 2048 1000000000 2.5\n",  # two clocks
        "edgegen-copy dd 0 0 1.0 2.0\n",
        "edgegen-copy other 4 2048 1.0 2.0\n",
    ],
)
def test_what_is_no_rate(text):
    assert parse_copy(text) is None


@settings(deadline=None)
@given(
    st.lists(
        st.sampled_from(["edgegen-copy", "dd", "memmove", "1", "2.5", "900000000", " ", "\n"]),
        max_size=30,
    ).map(" ".join)
    | st.text(max_size=200)
)
def test_any_text_is_read(text):
    found = parse_copy(text)
    assert found is None or 1e7 < found[0] < 1e14
