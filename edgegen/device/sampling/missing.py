"""What a run was not measured by, and why not."""

from __future__ import annotations

from edgegen.device.sampling.energy import no_joules
from edgegen.device.sampling.peaks import at_the_peak
from edgegen.device.sampling.series import Series

_BETWEEN = "memory was highest between two samples"
_PARTS = {
    "rss_anon_bytes": _BETWEEN,
    "rss_file_bytes": _BETWEEN,
    "pss_bytes": "it is read rarely, and was not while memory was highest",
}


def missing_of(series: Series, told_rss_bytes: int | None = None) -> dict[str, str]:
    """Return what was not measured, each with its reason.

    The names are those of the columns, without what is behind a point; `battery` stands for its
    current and voltage, `joules` for energy that the sources there do not tell.
    `told_rss_bytes` is as of `memory_of`.
    """
    missing = dict(series.missing)
    if not series.columns.get("time_s"):
        return {**missing, "samples": "not one sample was taken"}
    for name in dict.fromkeys(column.partition(".")[0] for column in series.columns):
        if not any(series.values(column) for column in series.group(name)):
            missing.setdefault(name, "nothing could be read while it ran")
    for name, reason in _PARTS.items():
        if series.values(name) and at_the_peak(series, name, told_rss_bytes) is None:
            missing.setdefault(name, reason)
    if (why := no_joules(series)) is not None:
        missing.setdefault("joules", why)
    return missing
