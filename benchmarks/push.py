"""Push and pull on loopback, edgegen beside adb, against the device double in its own process.

python benchmarks/push.py                       # 512 MiB, 5 times, files in memory
python benchmarks/push.py --mib 64 --repeats 3 --folder /tmp
"""

from __future__ import annotations

import argparse
import contextlib
import cProfile
import json
import os
import pstats
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from edgegen.device.pull import pull
from edgegen.device.push import push
from edgegen.device.transports import Transport, connect

MIB = 1024**2
THERE = "/data/local/tmp/bench"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--mib", type=int, default=512, help="size of the file (512)")
    add("--repeats", type=int, default=5, help="runs of each (5)")
    add("--adb", default=shutil.which("adb"), help="the other side (adb of the path)")
    add("--folder", type=Path, default=Path("/dev/shm"), help="where files lie (/dev/shm)")
    add("--profile", action="store_true", help="show where edgegen's time goes")
    arguments = parser.parse_args()
    if arguments.adb is None:
        parser.error("there is no adb here; name one with --adb")
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=arguments.folder)))
        source = folder / "source"
        with source.open("wb") as file:
            for _ in range(arguments.mib):
                file.write(os.urandom(MIB))
        (folder / "device").mkdir()
        serial = stack.enter_context(double(folder / "device"))
        adb = stack.enter_context(server(arguments.adb, folder, serial))
        direct = stack.enter_context(connect(serial, transport="adb-direct"))
        ways = candidates(adb, direct, source, folder)
        times: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(arguments.repeats):
            for name, (run, result) in ways.items():  # interleaved: all see the same neighbours
                result.unlink(missing_ok=True)
                began = time.perf_counter()
                run()
                times[name].append(time.perf_counter() - began)
                assert result.stat().st_size == arguments.mib * MIB
        report(times, arguments.mib, arguments.repeats)
        if arguments.profile:
            for name, (run, _) in ways.items():
                if name.startswith("edgegen"):
                    profile(name, run)
    return 0


def candidates(
    adb: Callable[..., None], direct: Transport, source: Path, folder: Path
) -> dict[str, tuple[Callable[[], object], Path]]:
    """Return what is measured, and the file that it leaves."""
    there, back = folder / "device" / THERE.lstrip("/"), folder / "back"

    def sync_push() -> None:
        with source.open("rb", buffering=0) as file:
            direct.push(file, THERE)

    def whole_push() -> None:
        shutil.rmtree(folder / "device/data/local/tmp/whole", ignore_errors=True)
        [result] = push([source], direct, folder="/data/local/tmp/whole").values()
        assert result.error is None, result.error

    def sync_pull() -> None:
        with back.open("wb", buffering=0) as file:
            direct.pull(THERE, file)

    def whole_pull() -> None:
        back.unlink(missing_ok=True)
        pull(THERE, direct, back, folder=str(Path(THERE).parent))

    return {
        "adb push": (lambda: adb("push", str(source), THERE), there),
        "edgegen push, as adb does it": (sync_push, there),
        "edgegen push, resumable, hashed and synced": (
            whole_push,
            folder / "device/data/local/tmp/whole/source",
        ),
        "adb pull": (lambda: adb("pull", THERE, str(back)), back),
        "edgegen pull, as adb does it": (sync_pull, back),
        "edgegen pull, hashed": (whole_pull, back),
    }


def report(times: dict[str, list[float]], mib: int, repeats: int) -> None:
    print(f"{mib} MiB, median of {repeats}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}")
    for name, runs in times.items():
        kind = "push" if "push" in name else "pull"
        ratios = [ours / theirs for ours, theirs in zip(runs, times[f"adb {kind}"], strict=True)]
        median = statistics.median(runs)
        print(
            f"{name:44} {median:6.2f} s  {mib / median:6.0f} MiB/s  "
            f"x {median / statistics.median(times[f'adb {kind}']):.2f}  "
            f"(pairwise {min(ratios):.2f} to {max(ratios):.2f})"
        )


def profile(name: str, run: Callable[[], object]) -> None:
    profiler = cProfile.Profile()
    profiler.runcall(run)
    print(f"\n{name}")
    pstats.Stats(profiler, stream=sys.stdout).sort_stats("tottime").print_stats(8)


@contextlib.contextmanager
def double(root: Path) -> Iterator[str]:
    """Run the device double; yield its address."""
    command = [sys.executable, "-m", "edgegen.device.testing", "--root", str(root), "--open"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())["serial"]
        finally:
            process.terminate()


@contextlib.contextmanager
def server(program: str, home: Path, serial: str) -> Iterator[Callable[..., None]]:
    """Run an adb server that holds the device; yield what runs adb's client."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "HOME": str(home), "ANDROID_ADB_SERVER_PORT": str(port)}

    def adb(*words: str) -> None:
        command = [program, "-s", serial, *words]
        subprocess.run(command, env=environment, check=True, capture_output=True)

    with subprocess.Popen(
        [program, "-P", str(port), "server", "nodaemon"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            for _ in range(100):
                time.sleep(0.05)
                with contextlib.suppress(OSError):
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
            adb("connect", serial)
            adb("wait-for-device")
            yield adb
        finally:
            process.kill()


if __name__ == "__main__":
    raise SystemExit(main())
