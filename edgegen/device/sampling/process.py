"""Sampling a process of this machine."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from edgegen.device.sampling.series import FORMAT, ROW_LIMIT
from edgegen.device.sampling.sources import (
    CPU_CLOCKS,
    CPU_LIMIT,
    CURRENTS,
    GPU_CLOCKS,
    RAPL,
    SERVICE_S,
    SLOW_S,
    STATUS,
    THERMAL_ZONES,
    ZONE_LIMIT,
)

Read = Callable[[], str]
_FILE_BYTES = 64 * 1024


class Sampling:
    """Samples of one process, taken by a thread.

    Args:
        pid: The process.
        interval_s: Time between two samples.
        sys: Where sysfs is.
        proc: Where procfs is.
    """

    def __init__(self, pid: int, interval_s: float, *, sys: str, proc: str) -> None:
        self._process = Path(proc) / str(pid)
        self._interval_s = interval_s
        self._lines = [f"# {FORMAT}", "# clock monotonic"]
        self._often: list[tuple[str, Read]] = []
        self._seldom: list[tuple[str, Read]] = []
        self._probe(Path(sys))
        read = [name for name, _ in (*self._often, *self._seldom)]
        self._began_s = time.monotonic()
        self._walk_due_s = 0.0
        names = ["time_s", *STATUS.values(), *read]
        self._lines += [",".join(names), f"# began {self._began_s:.3f}", f"# pid {pid}"]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="sampling", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Take a last sample, and end."""
        self._stop.set()
        self._thread.join()
        self._lines.append("# ended")

    def csv(self) -> str:
        """Return the samples as CSV, for `read_series`."""
        return "\n".join(self._lines) + "\n"

    def _loop(self) -> None:
        due_s = slow_due_s = time.monotonic()
        for _ in range(ROW_LIMIT):
            now_s = time.monotonic()
            last = self._stop.is_set()
            slowly = last or now_s >= slow_due_s
            alive = self._sample(now_s, slowly)
            if last or not alive:
                return
            if slowly:
                slow_due_s = now_s + SLOW_S
            due_s = max(due_s + self._interval_s, now_s)
            self._stop.wait(due_s - time.monotonic())

    def _sample(self, now_s: float, slowly: bool) -> bool:
        """Write a row; tell whether the process is still there."""
        status = _fields(self._process / "status")
        cells = [f"{now_s:.3f}", *(status.get(key, "") for key in STATUS)]
        cells += [read() for _, read in self._often]
        cells += [read() if slowly else "" for _, read in self._seldom]
        self._lines.append(",".join(cells))
        return status.get("State", "Z") not in "ZX"

    def _pss(self, file: Path) -> str:
        now_s = time.monotonic()
        if now_s - self._began_s > SERVICE_S and now_s < self._walk_due_s:
            return ""
        self._walk_due_s = now_s + SERVICE_S
        return _fields(file).get("Pss", "")

    def _probe(self, sys: Path) -> None:
        """Find what can be read, and note what cannot."""
        if not _fields(self._process / "status"):
            self._miss("rss_bytes", "its status in procfs cannot be read")
        pss, buffers = self._process / "smaps_rollup", self._process / "fdinfo"
        if _text(pss):
            self._seldom.append(("pss_kib", partial(self._pss, pss)))
        else:
            self._miss("pss_bytes", "its smaps_rollup in procfs cannot be read")
        if _listed(buffers) is not None:
            self._seldom.append(("dmabuf_bytes", lambda: _dmabuf(buffers)))
        else:
            self._miss("dmabuf_bytes", "its fdinfo in procfs cannot be read")
        self._miss("gpu_bytes", "what Linux drivers tell is not read")
        self._probe_often(sys)
        self._probe_seldom(sys)

    def _probe_often(self, sys: Path) -> None:
        clocks = sorted(sys.glob(CPU_CLOCKS))[:CPU_LIMIT]
        for file in filter(_value, clocks):
            name = f"khz.cpu{file.parent.name.removeprefix('policy')}"
            self._often.append((name, partial(_value, file)))
        if not self._often:
            self._lack("khz", "clock of a CPU", sys, CPU_CLOCKS)
        gpus = ((path, name) for pattern, name in GPU_CLOCKS for path in sys.glob(pattern))
        for file, name in gpus:
            if _value(file):
                self._often.append((name, partial(_value, file)))
                break
        else:
            self._lack("gpu_khz", "clock of a GPU", sys, *(path for path, _ in GPU_CLOCKS))
        counted = False
        for folder in sorted(sys.glob(RAPL)):
            number = folder.name.partition(":")[2]
            if not number.isdigit() or _text(folder / "name").strip() == "psys":
                continue
            if _value(folder / "energy_uj"):
                counted = True
                self._often.append((f"rapl_uj.{number}", partial(_value, folder / "energy_uj")))
                if highest := _value(folder / "max_energy_range_uj"):
                    self._lines.append(f"# range.rapl_uj.{number} {highest}")
        if not counted:
            self._lack("rapl_uj", "counter of energy", sys, f"{RAPL}/energy_uj")

    def _probe_seldom(self, sys: Path) -> None:
        for path in CURRENTS:
            current = sys / path
            voltage, state = current.with_name("voltage_now"), current.with_name("status")
            if _value(current) and _value(voltage):
                self._seldom += [
                    ("battery_ua", partial(_value, current)),
                    ("battery_uv", partial(_value, voltage)),
                    ("battery_discharging", partial(_discharging, state)),
                ]
                break
        else:
            self._lack("battery", "battery's current", sys, *CURRENTS)
        zones = [zone for zone in sorted(sys.glob(THERMAL_ZONES)) if _value(zone / "temp")]
        for zone in zones[:ZONE_LIMIT]:
            label = _label(zone)
            self._seldom.append((f"millicelsius.{label}", partial(_value, zone / "temp")))
        if not zones:
            self._lack("celsius", "thermal zone", sys, f"{THERMAL_ZONES}/temp")

    def _lack(self, name: str, what: str, sys: Path, *patterns: str) -> None:
        there = any(True for pattern in patterns for _ in sys.glob(pattern))
        closed = f"a {what} is there, but this user cannot read it"
        self._miss(name, closed if there else f"no {what} is there")

    def _miss(self, name: str, why: str) -> None:
        self._lines.append(f"# missing {name} {why}")


@contextlib.contextmanager
def sampled_process(
    pid: int, interval_s: float, *, sys: str = "/sys", proc: str = "/proc"
) -> Iterator[Sampling]:
    """Sample a process of this machine until the block is left, or the process ends.

    Args:
        pid: The process.
        interval_s: Time between two samples.
        sys: Where sysfs is.
        proc: Where procfs is.

    Yields:
        The samples; `csv()` is whole after the block.

    Raises:
        ValueError: the interval is not above 0.
    """
    if not 0 < interval_s < math.inf:
        raise ValueError(f"interval {interval_s!r} s, expected > 0")
    sampling = Sampling(pid, interval_s, sys=sys, proc=proc)
    sampling.start()
    try:
        yield sampling
    finally:
        sampling.stop()


def _text(file: Path) -> str:
    try:
        with file.open("rb", buffering=0) as opened:
            return (opened.read(_FILE_BYTES) or b"").decode("ascii", "replace")
    except OSError:
        return ""


def _value(file: Path) -> str:
    """Return a file's number as it stands there; nothing if it holds none."""
    words = _text(file).split(None, 1)
    return words[0] if words and words[0].removeprefix("-").isdecimal() else ""


def _fields(file: Path) -> dict[str, str]:
    """Return the first words behind the names of lines `name: value`."""
    pairs = (line.partition(":") for line in _text(file).splitlines())
    return {name: words[0] for name, _, rest in pairs if (words := rest.split(None, 1))}


def _listed(folder: Path) -> list[Path] | None:
    try:
        return list(folder.iterdir())
    except OSError:
        return None


def _dmabuf(folder: Path) -> str:
    """Return the buffers that files of a process stand for, each `inode:size`."""
    files = _listed(folder)
    if files is None:
        return ""
    told = [fields for file in files if "exp_name" in (fields := _fields(file))]
    if not all({"ino", "size"} <= fields.keys() for fields in told):
        return ""  # nothing tells which of them are the same one
    return " ".join(f"{fields['ino']}:{fields['size']}" for fields in told) or "0"


def _discharging(file: Path) -> str:
    state = _text(file).strip()
    return "" if state in ("", "Unknown") else str(int(state == "Discharging"))


def _label(zone: Path) -> str:
    kind = _text(zone / "type").strip()
    plain = kind.isascii() and kind.translate(str.maketrans("", "", "_.:+-")).isalnum()
    return kind if plain else f"zone{zone.name.removeprefix('thermal_zone')}"
