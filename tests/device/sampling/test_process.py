"""The sampler of this machine's processes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from itertools import pairwise

import pytest

from edgegen.device.sampling import (
    memory_of,
    missing_of,
    read_series,
    sampled_process,
    sampling_script,
)
from tests.device.sampling.fakes import (
    CLOSED,
    NOTHING,
    PHONE,
    PHONE_COLUMNS,
    make_closed_sysfs,
    make_sysfs,
    unread,
)

MIB = 1024**2
# Takes 200 MiB of its own, then maps and reads a file of 100 MiB.
GROWING = """
import mmap, sys, time
own = bytearray(200 << 20)
own[::4096] = b"x" * len(own[::4096])
with open(sys.argv[1], "rb") as file:
    mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
    sum(mapped[::4096])
    time.sleep(3)  # PSS is read every two seconds
"""


def test_own_memory_and_that_of_files_are_told_apart(tmp_path):
    big = tmp_path / "big"
    big.write_bytes(b"\1" * (100 * MIB))
    with (
        subprocess.Popen([sys.executable, "-c", GROWING, str(big)]) as process,
        sampled_process(process.pid, 0.02) as sampling,
    ):
        process.wait()
    series = read_series(sampling.csv())
    memory = memory_of(series)
    assert memory.peak_rss_anon_bytes == pytest.approx(200 * MIB, rel=0.1)
    assert memory.peak_rss_file_bytes == pytest.approx(108 * MIB, rel=0.1)
    assert memory.peak_rss_bytes == pytest.approx(308 * MIB, rel=0.1)
    assert memory.peak_pss_bytes == pytest.approx(memory.peak_rss_bytes, rel=0.1)
    assert memory.peak_dmabuf_bytes == 0
    assert series.whole
    assert series.facts["pid"] == str(process.pid)
    steps = [later - earlier for earlier, later in pairwise(series.values("time_s"))]
    assert 0.01 < sorted(steps)[len(steps) // 2] < 0.1


def test_it_ends_with_the_process_or_with_the_block():
    with subprocess.Popen(["sleep", "0.3"]) as process:
        with sampled_process(process.pid, 0.05) as sampling:
            time.sleep(1.5)  # nobody has asked for its exit code: it is a zombie
        ended = read_series(sampling.csv()).columns["time_s"][-1]
    assert 0.1 < ended < 1.0
    with sampled_process(os.getpid(), 30.0) as sampling:
        pass
    assert len(read_series(sampling.csv()).columns["time_s"]) in (1, 2)
    assert not [each for each in threading.enumerate() if each.name == "sampling"]


def test_an_error_in_the_block_ends_it():
    with pytest.raises(RuntimeError, match=r"^boom$"), sampled_process(os.getpid(), 0.05):
        raise RuntimeError("boom")
    assert not [each for each in threading.enumerate() if each.name == "sampling"]


def test_a_process_that_is_gone():
    with subprocess.Popen(["true"]) as process:
        process.wait()
    with sampled_process(process.pid, 0.05) as sampling:
        pass
    missing = missing_of(read_series(sampling.csv()))
    assert missing["rss_bytes"] == "its status in procfs cannot be read"
    assert missing["pss_bytes"] == "its smaps_rollup in procfs cannot be read"
    assert missing["dmabuf_bytes"] == "its fdinfo in procfs cannot be read"


@pytest.mark.parametrize("interval_s", [0, -1, float("nan"), float("inf")])
def test_an_interval_is_above_0(interval_s):
    with (
        pytest.raises(ValueError, match=r"^interval .* s, expected > 0$"),
        sampled_process(1, interval_s),
    ):
        pass


def test_it_tells_what_the_sampler_in_sh_tells(tmp_path):
    sys = make_sysfs(tmp_path / "sys", PHONE)
    with (
        subprocess.Popen(["sleep", "0.3"]) as process,
        sampled_process(process.pid, 0.1, sys=sys) as sampling,
    ):
        process.wait()
    series = read_series(sampling.csv())
    for name, value in PHONE_COLUMNS.items():
        assert set(series.values(name)) == {value}, name
    assert series.facts["range.rapl_uj.0"] == "262143328850"
    script = sampling_script(
        "sleep 0.3", csv_path=str(tmp_path / "s.csv"), interval_s=0.1, timeout_s=None, sys=sys
    )
    subprocess.run(["sh", "-c", script], check=True)
    from_sh = read_series((tmp_path / "s.csv").read_text())
    assert set(from_sh.columns) == set(series.columns)
    assert set(from_sh.missing) == set(series.missing) == {"gpu_bytes"}


@pytest.mark.parametrize("closed", [False, True])
def test_nothing_but_the_process(tmp_path, closed):
    sys = make_closed_sysfs(tmp_path / "sys") if closed else make_sysfs(tmp_path / "sys", {})
    with sampled_process(os.getpid(), 0.05, sys=sys) as sampling:
        time.sleep(0.1)
    assert unread(missing_of(read_series(sampling.csv()))) == {
        "gpu_bytes": "what Linux drivers tell is not read",
        **(CLOSED if closed else NOTHING),
    }


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (["ino:\t7\nsize:\t4096\nexp_name:\tsystem\n"] * 2, 4096),  # open twice
        (["ino:\t7\nsize:\t4096\nexp_name:\tsystem\n", "ino:\t8\nsize:\t1\nexp_name:\ta\n"], 4097),
        (["pos:\t0\nino:\t9\n"], 0),  # no buffer
        (["size:\t4096\nexp_name:\tsystem\n"], None),  # old kernels tell no inode
    ],
)
def test_buffers_of_hardware(tmp_path, told, expected):
    (tmp_path / "5" / "fdinfo").mkdir(parents=True)
    (tmp_path / "5" / "fdinfo" / "0").write_text("pos:\t0\nflags:\t02\nino:\t1\n")
    (tmp_path / "5" / "status").write_text("State:\tR (running)\nVmRSS:\t   10 kB\n")
    for number, text in enumerate(told):
        (tmp_path / "5" / "fdinfo" / f"9{number}").write_text(f"pos:\t0\nflags:\t02\n{text}")
    with sampled_process(5, 0.05, proc=str(tmp_path)) as sampling:
        pass
    assert memory_of(read_series(sampling.csv())).peak_dmabuf_bytes == expected
