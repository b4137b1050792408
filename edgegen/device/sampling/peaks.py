"""The highest values of a run."""

from __future__ import annotations

import re

from edgegen.device.bench.record import Memory
from edgegen.device.sampling.series import Series

# Sensors among the thermal zones whose number is no temperature: Qualcomm's charge in percent,
# currents and voltages of the battery, and levels of the limits on them.
_NO_TEMPERATURE = re.compile(r"soc|socd|.*(?:vbat|ibat|vph|bcl|-lvl|voltage|current).*")
_NEAR = 0.9  # of the highest resident memory
_PLAUSIBLE_CELSIUS = (0.0, 150.0)


def memory_of(series: Series) -> Memory:
    """Return the highest values of memory; `None` where there was none."""
    mark = _highest(series, "hwm_bytes")
    return Memory(
        peak_rss_bytes=_highest(series, "rss_bytes") if mark is None else mark,
        peak_rss_anon_bytes=_highest(series, "rss_anon_bytes"),
        peak_rss_file_bytes=_highest(series, "rss_file_bytes"),
        peak_pss_bytes=_highest(series, "pss_bytes") if pss_saw_the_peak(series) else None,
        peak_gpu_bytes=_highest(series, "gpu_bytes"),
        peak_dmabuf_bytes=_highest(series, "dmabuf_bytes"),
    )


def pss_saw_the_peak(series: Series) -> bool:
    """Return whether PSS, which is read rarely, was read while memory was near its peak."""
    resident = series.columns.get("rss_bytes", ())
    shared = series.columns.get("pss_bytes", ())
    seen = [rss for rss, pss in zip(resident, shared, strict=False) if rss and pss is not None]
    return bool(seen) and max(seen) >= _NEAR * max(rss or 0 for rss in resident)


def max_celsius(series: Series) -> float | None:
    """Return the highest temperature of any zone."""
    values = [
        value
        for name in series.group("celsius")
        for value in series.values(name)
        if is_temperature(name.partition(".")[2], value)
    ]
    return max(values, default=None)


def is_temperature(zone: str, celsius: float) -> bool:
    """Return whether a thermal zone tells a temperature, and one that a device can have."""
    lowest, highest = _PLAUSIBLE_CELSIUS
    return lowest < celsius < highest and not _NO_TEMPERATURE.fullmatch(zone.lower())


def _highest(series: Series, name: str) -> int | None:
    values = series.values(name)
    return int(max(values)) if values else None
