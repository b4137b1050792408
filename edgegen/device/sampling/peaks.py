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


def memory_of(series: Series, told_rss_bytes: int | None = None) -> Memory:
    """Return the highest values of memory; `None` where there was none.

    What is a part of resident memory is that of its peak, and `None` if no sample was near that.

    Args:
        series: The samples.
        told_rss_bytes: The highest resident memory by the process's own last word, if any.
    """
    return Memory(
        peak_rss_bytes=_peak(series, told_rss_bytes),
        peak_rss_anon_bytes=at_the_peak(series, "rss_anon_bytes", told_rss_bytes),
        peak_rss_file_bytes=at_the_peak(series, "rss_file_bytes", told_rss_bytes),
        peak_pss_bytes=at_the_peak(series, "pss_bytes", told_rss_bytes),
        peak_gpu_bytes=_highest(series, "gpu_bytes"),
        peak_dmabuf_bytes=_highest(series, "dmabuf_bytes"),
    )


def at_the_peak(series: Series, name: str, told_rss_bytes: int | None = None) -> int | None:
    """Return a part of resident memory in the sample nearest to its peak, `None` if none is near.

    The peak is the kernel's own mark, which sees what lies between two samples.
    """
    rows = zip(series.columns.get("rss_bytes", ()), series.columns.get(name, ()), strict=False)
    seen = [(rss, part) for rss, part in rows if rss is not None and part is not None]
    resident, part = max(seen, default=(0.0, 0.0))
    near = bool(seen) and resident >= _NEAR * (_peak(series, told_rss_bytes) or 0)
    return int(part) if near else None


def _peak(series: Series, told_rss_bytes: int | None) -> int | None:
    mark = _highest(series, "hwm_bytes")
    sampled = _highest(series, "rss_bytes") if mark is None else mark
    known = [value for value in (sampled, told_rss_bytes) if value is not None]
    return max(known, default=None)


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
