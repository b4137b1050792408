"""The sampler on a device, by each way to it: one command, and a file to fetch afterwards."""

from __future__ import annotations

import io

import pytest

from edgegen.device.sampling import memory_of, missing_of, read_series, sampling_script
from edgegen.device.transports.failures import CommandFailedError
from tests.device.sampling.alive import alive, wait_for

WAYS = ["adb-direct", "adb-server", "local"]
GPU = """case "$*" in
"gpu --gpumem") printf 'Memory snapshot for GPU 0:\\nGlobal total: 99\\n'
  for process in /proc/[0-9]*; do echo "Proc ${process##*/} total: 50331648"; done ;;
esac
"""


def fetched(reached, path):
    sink = io.BytesIO()
    reached.transport.pull(path, sink, limit=1024**2)  # it may be growing
    return read_series(sink.getvalue().decode())


@pytest.mark.parametrize("way", WAYS)
def test_a_run_and_its_samples(reach, way):
    reached = reach(way)
    path = reached.path("samples.csv")
    script = sampling_script(
        "sh -c 'echo out; echo err >&2; sleep 0.6; exit 3'",
        csv_path=path,
        interval_s=0.05,
        timeout_s=30,
    )
    done = reached.transport.shell(script, timeout_s=30)
    assert (done.exit_code, done.stdout, done.stderr) == (3, b"out\n", b"err\n")
    series = fetched(reached, path)
    assert series.facts["ended"] == "3"
    assert len(series.values("rss_bytes")) > 3
    assert memory_of(series).peak_rss_bytes > 100_000


def test_graphics_memory_of_a_phone(reach):
    reached = reach("adb-direct", commands={"dumpsys": GPU})
    path = reached.path("samples.csv")
    script = sampling_script("sleep 0.5", csv_path=path, interval_s=0.1, timeout_s=None)
    assert reached.transport.shell(script, timeout_s=30).exit_code == 0
    series = fetched(reached, path)
    assert memory_of(series).peak_gpu_bytes == 50331648
    assert "gpu_bytes" not in missing_of(series)


@pytest.mark.parametrize("way", ["adb-direct, old device", "adb-direct, older device"])
def test_a_device_whose_commands_are_short_runs_it_from_a_file(reach, way):
    reached = reach(way)
    path, file = reached.path("samples.csv"), reached.path("run.sh")
    script = sampling_script("sh -c 'exit 3'", csv_path=path, interval_s=0.1, timeout_s=None)
    with pytest.raises(CommandFailedError):
        reached.transport.shell(script, timeout_s=30)
    reached.transport.push(io.BytesIO(script.encode()), file)
    assert reached.transport.shell(("sh", file), timeout_s=30).exit_code == 3
    assert fetched(reached, path).facts["ended"] == "3"


@pytest.mark.parametrize("way", WAYS)
def test_who_leaves_early_leaves_no_process(reach, way):
    reached = reach(way)
    path, mark = reached.path("samples.csv"), reached.root / "pid"
    script = sampling_script(
        f"sh -c 'echo $$ >{mark}; trap : HUP TERM; echo here; exec sleep 60'",
        csv_path=path,
        interval_s=0.1,
        timeout_s=None,
    )
    with reached.transport.stream(script, timeout_s=30) as running:
        assert next(running).data == b"here\n"
        wait_for(lambda: fetched(reached, path).columns.get("time_s"))
    command = int(mark.read_text())
    wait_for(lambda: not alive(command))
    series = fetched(reached, path)
    assert series.columns["time_s"]
    assert not series.timed_out
