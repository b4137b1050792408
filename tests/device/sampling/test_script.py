"""The sampler in sh, in each shell that is here: real processes of this machine."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time

import pytest

from edgegen.device.sampling import (
    joules_of,
    max_celsius,
    memory_of,
    missing_of,
    read_series,
    sampling_script,
)
from tests.device.sampling.alive import alive_in_session, wait_for
from tests.device.sampling.fakes import (
    CLOSED,
    NOTHING,
    PHONE,
    PHONE_COLUMNS,
    SHELLS,
    make_closed_sysfs,
    make_sysfs,
    unread,
)

MIB = 1024**2
PYTHON = shlex.quote(sys.executable)
# Takes 200 MiB of its own, then maps and reads a file of 100 MiB.
GROWING = """
import mmap, sys, time
own = bytearray(200 << 20)
own[::4096] = b"x" * len(own[::4096])
time.sleep(0.5)
with open(sys.argv[1], "rb") as file:
    mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
    sum(mapped[::4096])
    time.sleep(3)  # PSS is read every two seconds
"""

pytestmark = pytest.mark.parametrize("shell", SHELLS)


@pytest.fixture
def run(shell, tmp_path):
    """Run a command and its sampler; return the ended process and the samples."""

    def ran(command, *, interval_s=0.05, timeout_s=None, environment=None, **places):
        csv = tmp_path / "samples of a run.csv"
        script = sampling_script(
            command, csv_path=str(csv), interval_s=interval_s, timeout_s=timeout_s, **places
        )
        done = subprocess.run(
            [*shell, "-c", script],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={**os.environ, **(environment or {})},
        )
        return done, read_series(csv.read_text())

    return ran


def test_own_memory_and_that_of_files_are_told_apart(run, tmp_path):
    big = tmp_path / "big"
    big.write_bytes(b"\1" * (100 * MIB))
    done, series = run(f"{PYTHON} -c {shlex.quote(GROWING)} {shlex.quote(str(big))}")
    assert (done.returncode, done.stderr) == (0, "")
    files = series.values("rss_file_bytes")
    assert max(files) - min(files) == pytest.approx(100 * MIB, rel=0.1)
    memory = memory_of(series)
    assert memory.peak_rss_anon_bytes == pytest.approx(200 * MIB, rel=0.1)
    assert memory.peak_rss_bytes == pytest.approx(
        memory.peak_rss_anon_bytes + memory.peak_rss_file_bytes, rel=0.05
    )
    assert memory.peak_pss_bytes == pytest.approx(memory.peak_rss_bytes, rel=0.1)
    assert (memory.peak_dmabuf_bytes, memory.peak_gpu_bytes) == (0, None)
    times = series.columns["time_s"]
    assert times[0] == pytest.approx(0, abs=0.2)
    assert times[-1] > 1.2
    # A sample takes time besides the interval, on a machine that is busy a lot.
    assert len(times) > times[-1] / 0.25
    assert series.facts["ended"] == "0"


def test_output_and_exit_code_are_the_commands(run):
    done, series = run("sh -c 'echo $$; echo err >&2; sleep 0.2; exit 7'")
    assert (done.returncode, done.stderr) == (7, "err\n")
    assert done.stdout.strip() == series.facts["pid"]
    assert (series.facts["ended"], series.timed_out) == ("7", False)


def test_a_death_by_signal_is_128_and_its_number(run):
    done, series = run("sh -c 'kill -SEGV $$'")
    assert done.returncode == 128 + signal.SIGSEGV
    assert series.facts["ended"] == "139"


@pytest.mark.parametrize(
    "command",
    [
        "A=one B='two words' printenv A B",
        "export A=one && B='two words' exec printenv A B",
        "A=one; B='two words'; export A B; exec printenv A B",
        "A=no A=one B='two words' printenv A B | cat; exec true",
    ],
)
def test_commands(run, command):
    done, _ = run(command)
    assert (done.returncode, done.stdout) == (0, "one\ntwo words\n")


def test_the_environment_is_left_alone(run):
    done, _ = run("env", environment={"LC_ALL": "C.UTF-8"})
    assert "LC_ALL=C.UTF-8\n" in done.stdout


def test_a_program_that_is_not_there(run):
    done, series = run("/no/such/program --flag")
    assert done.returncode == 127
    assert "/no/such/program" in done.stderr
    assert series.facts["ended"] == "127"


def test_a_timeout_kills(run):
    began = time.monotonic()
    done, series = run("sh -c 'trap : TERM; echo here; while :; do sleep 0.05; done'", timeout_s=1)
    assert 1 <= time.monotonic() - began < 10
    assert (done.returncode, done.stdout, series.timed_out) == (124, "here\n", True)
    assert series.facts["timed_out"] == "1"


def test_a_command_that_returns_124_has_not_timed_out(run):
    done, series = run("sh -c 'exit 124'", timeout_s=5)
    assert (done.returncode, series.timed_out) == (124, False)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGKILL])
def test_no_orphan_is_left_when_the_shell_goes(shell, tmp_path, number):
    csv, mark = tmp_path / "s.csv", tmp_path / "pid"
    script = sampling_script(
        f"sh -c {shlex.quote(f'echo $$ >{mark}; trap : HUP TERM; exec sleep 60')}",
        csv_path=str(csv),
        interval_s=0.1,
        timeout_s=None,
    )
    with subprocess.Popen(
        [*shell, "-c", script], stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        wait_for(lambda: mark.exists() and mark.read_text().strip())
        wait_for(lambda: len(read_series(csv.read_text()).columns.get("time_s", ())) > 2)
        os.kill(process.pid, number)
        process.communicate(timeout=10)  # the end of its output: nobody holds it any more
    wait_for(lambda: not alive_in_session(process.pid))
    if number != signal.SIGKILL:
        assert process.returncode == 128 + number
        assert read_series(csv.read_text()).facts["ended"] == f"by signal {number.value}"
    else:
        assert read_series(csv.read_text()).facts["ended"] == "with its shell"


def test_no_orphan_is_left_when_the_shells_own_parent_goes(shell, tmp_path):
    """As on a device whose adbd ends the shell that it started, and nobody else."""
    csv, mark, file = tmp_path / "s.csv", tmp_path / "pid", tmp_path / "run.sh"
    file.write_text(
        sampling_script(
            f"sh -c {shlex.quote(f'echo $$ >{mark}; exec sleep 60')}",
            csv_path=str(csv),
            interval_s=0.1,
            timeout_s=None,
        )
    )
    with subprocess.Popen(
        ["sh", "-c", f"{shlex.join(shell)} {shlex.quote(str(file))}; echo $?"],
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        wait_for(lambda: mark.exists() and mark.read_text().strip())
        os.kill(process.pid, signal.SIGKILL)
        process.communicate(timeout=10)
    wait_for(lambda: not alive_in_session(process.pid))
    assert read_series(csv.read_text()).facts["ended"] == "with its shell"


@pytest.mark.parametrize(
    "command",
    ["grep -c ';' FILE 2>&1", 'grep -c ";" FILE', "grep -c \\; FILE", "env A=1 grep -c ';' FILE"],
)
def test_signs_of_the_shell_in_quotes_make_no_list(run, tmp_path, command):
    (tmp_path / "a").write_text(";\n;\n")
    done, _ = run(command.replace("FILE", str(tmp_path / "a")))
    assert (done.returncode, done.stdout) == (0, "2\n")


def test_what_a_phone_tells(run, tmp_path):
    sys = make_sysfs(tmp_path / "sys", PHONE)
    done, series = run("sleep 1.2", sys=sys)
    assert done.returncode == 0
    for name, value in PHONE_COLUMNS.items():
        assert set(series.values(name)) == {value}, name
    assert series.facts["range.rapl_uj.0"] == "262143328850"
    assert unread(missing_of(series)) == {"gpu_bytes": "neither kgsl nor dumpsys is there"}
    assert max_celsius(series) == 61.2
    joules, source = joules_of(series)
    seconds = [
        time_s
        for time_s, volts in zip(
            series.columns["time_s"], series.columns["battery_mv"], strict=True
        )
        if volts is not None
    ]
    assert joules == pytest.approx(0.812 * 4.012345 * (seconds[-1] - seconds[0]))
    assert source == "battery"
    # What is dear to read is read less often.
    assert len(series.values("celsius.cpu-0-0")) <= 5 < len(series.values("khz.cpu0"))


def test_graphics_memory_of_kgsl(run, tmp_path):
    """The process's folder is there while it runs; it is made here by the process itself."""
    sys = make_sysfs(tmp_path / "sys", {"class/kgsl/kgsl/proc/1/kernel": "1"})
    folder = f"{sys}/class/kgsl/kgsl/proc/$$"
    _, series = run(
        f"sh -c 'mkdir {folder}; echo 5000000000 >{folder}/kernel; exec sleep 2'",
        sys=sys,
    )
    assert memory_of(series).peak_gpu_bytes == 5_000_000_000
    _, series = run(
        f"sh -c 'mkdir {folder}; echo 3000000000 >{folder}/gpumem_mapped; "
        f"echo 2000000000 >{folder}/gpumem_unmapped; exec sleep 2'",
        sys=sys,
    )
    assert memory_of(series).peak_gpu_bytes == 5_000_000_000


DUMPSYS = """#!/bin/sh
case "$*" in
"gpu --gpumem") printf 'Memory snapshot for GPU 0:\\nGlobal total: 2291724288\\n'
  for p in /proc/[0-9]*; do
    echo "Proc ${p##*/} total: 4800000000, imported: 5"; done ;;
thermalservice) cat <<'END'
Thermal Status: 0
Cached temperatures:
\tTemperature{mValue=99.0, mType=0, mName=CPU0, mStatus=0}
HAL Ready: true
Current temperatures from HAL:
\tTemperature{mValue=62.500004, mType=0, mName=CPU0, mStatus=0}
\tTemperature{mValue=40.5, mType=3, mName=a b, mStatus=0}
\tTemperature{mValue=41.5, mType=3, mName=skin, mStatus=0}
\tTemperature{mValue=77.0, mType=8, mName=charge, mStatus=0}
Current cooling devices from HAL:
\tCoolingDevice{mValue=0, mType=5, mName=tpu_cooling}
END
;;
esac
"""


def test_services_of_android_where_sysfs_is_closed(run, tmp_path):
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "dumpsys").write_text(DUMPSYS)
    (programs / "dumpsys").chmod(0o755)
    path = f"{programs}:{os.environ['PATH']}"
    sys = make_sysfs(tmp_path / "sys", {})
    _, series = run("sleep 0.8", sys=sys, environment={"PATH": path})
    assert set(series.values("gpu_bytes")) == {4.8e9}
    assert series.group("celsius") == ["celsius.CPU0", "celsius.skin"]
    assert set(series.values("celsius.CPU0")) == {62.500004}
    assert max_celsius(series) == 62.500004


def test_what_is_not_there_is_missing_with_a_reason(run, tmp_path):
    proc = tmp_path / "proc"
    proc.mkdir()
    done, series = run("sleep 0.3", sys=str(tmp_path), proc=str(proc))
    assert done.returncode == 0
    assert missing_of(series) == {
        "rss_bytes": f"{proc}/PID/status cannot be read",
        "pss_bytes": f"{proc}/PID/smaps_rollup cannot be read",
        "dmabuf_bytes": f"{proc}/PID/fdinfo cannot be read",
        "gpu_bytes": "neither kgsl nor dumpsys is there",
        **NOTHING,
        **dict.fromkeys(
            ("hwm_bytes", "rss_anon_bytes", "rss_file_bytes", "rss_shmem_bytes", "swap_bytes"),
            "nothing could be read while it ran",
        ),
    }
    assert series.facts["clock"] in ("date", "shell")
    assert 0 <= series.columns["time_s"][-1] < 2


def test_what_is_closed_is_told_apart_from_what_is_not_there(run, tmp_path):
    _, series = run("sleep 0.2", sys=make_closed_sysfs(tmp_path / "sys"))
    assert unread(missing_of(series)) == {
        "gpu_bytes": "neither kgsl nor dumpsys is there",
        **CLOSED,
    }


def test_a_file_that_cannot_be_written(shell, tmp_path):
    script = sampling_script(
        "echo never", csv_path=str(tmp_path / "no" / "s.csv"), interval_s=0.1, timeout_s=None
    )
    done = subprocess.run(
        [*shell, "-c", script], capture_output=True, text=True, timeout=20, check=False
    )
    assert (done.returncode, done.stdout) == (125, "")
    assert done.stderr == f"edgegen: cannot write {tmp_path / 'no' / 's.csv'}\n"
