"""What the samples of one run show over time: memory, heat, clocks and power."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from edgegen.device.sampling import Series, read_series
from edgegen.report.bench.cells import CellSummary, median_run
from edgegen.report.bench.time_chart import Points, TimeChart, time_chart
from edgegen.report.tables import MIB, printable

_MAX_BYTES = 32 * 1024**2
_MOST_ZONES = 6
_LONGEST_NAME = 30


def charts_of(cell: CellSummary, folder: Path) -> tuple[str, list[TimeChart]]:
    """Return the charts of the kept run nearest the median, and which run that is.

    The text is why there are none, where there are none.
    """
    record = median_run(cell)
    if record is None:
        return "no run with a result", []
    if record.series is None:
        return "no samples over time were taken", []
    try:
        text = _samples(record.series, folder)
    except (OSError, ValueError, RuntimeError):  # a row's path may be anything, loops included
        return "the samples over time cannot be read", []
    if text is None:
        return "the samples over time are not in the benchmark's folder", []
    if len(text) > _MAX_BYTES:
        return f"the samples over time are more than {_MAX_BYTES} bytes", []
    series = read_series(text.decode("utf-8", "replace"))
    charts = [chart for chart in _charts(series) if chart is not None]
    if not charts:
        return "the samples over time hold nothing to draw", []
    return f"run {record.index}, the one nearest the median of {len(cell.kept)}", charts


def _samples(name: str, folder: Path) -> bytes | None:
    """Return the beginning of a file, `None` if it is no file inside the folder.

    A row may come from anywhere; nothing outside its benchmark is read for it.
    """
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()) or not path.is_file():
        return None
    with path.open("rb") as file:
        return file.read(_MAX_BYTES + 1)


def _charts(series: Series) -> Iterator[TimeChart | None]:
    parts = {"own memory": "rss_anon_bytes", "mapped files": "rss_file_bytes"}
    split = {label: _points(series, name, MIB) for label, name in parts.items()}
    whole = {"RSS": _points(series, "rss_bytes", MIB)}
    memory = "Resident memory, MiB"
    yield time_chart(memory, split, stacked=True) or time_chart(memory, whole)
    more = {"GPU": "gpu_bytes", "dma-buf": "dmabuf_bytes", "PSS": "pss_bytes"}
    yield time_chart(
        "GPU and shared memory, MiB",
        {label: _points(series, name, MIB) for label, name in more.items()},
    )
    zones = sorted(
        series.group("celsius"), key=lambda name: -max(series.values(name), default=-1e9)
    )
    hottest = f", the hottest {_MOST_ZONES} of {len(zones)} zones"
    yield time_chart(
        "Temperature, °C" + hottest * (len(zones) > _MOST_ZONES),
        {_tail(name): _points(series, name) for name in zones[:_MOST_ZONES]},
        from_zero=False,
    )
    yield time_chart("Clocks, GHz", _clocks(series))
    yield time_chart("Power, W", {"battery": _power(series)})


def _points(series: Series, name: str, divisor: float = 1.0) -> Points:
    times, values = (series.columns.get(each, ()) for each in ("time_s", name))
    return [
        (s, value / divisor)
        for s, value in zip(times, values, strict=False)
        if s is not None and value is not None
    ]


def _clocks(series: Series) -> dict[str, Points]:
    """Return the clocks of CPUs and GPU; CPUs that always agree are one line."""
    same: dict[tuple[tuple[float, float], ...], list[str]] = {}
    for name in series.group("khz"):
        points = tuple(_points(series, name, 1e6))
        if points:
            same.setdefault(points, []).append(_tail(name))
    lines: dict[str, Points] = {_together(names): points for points, names in same.items()}
    if gpu := _points(series, "gpu_khz", 1e6):
        lines = {"GPU": gpu} | lines
    return lines


def _together(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"


def _power(series: Series) -> Points:
    """Return what the battery gives, where it tells current and voltage."""
    volts = dict(_points(series, "battery_mv", 1e3))
    return [
        (s, abs(amps) * volts[s]) for s, amps in _points(series, "battery_ma", 1e3) if s in volts
    ]


def _tail(name: str) -> str:
    return printable(name.partition(".")[2] or name)[:_LONGEST_NAME]
