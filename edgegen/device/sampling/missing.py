"""What a run was not measured by, and why not."""

from __future__ import annotations

from edgegen.device.sampling.energy import no_joules
from edgegen.device.sampling.peaks import pss_saw_the_peak
from edgegen.device.sampling.series import Series


def missing_of(series: Series) -> dict[str, str]:
    """Return what was not measured, each with its reason.

    The names are those of the columns, without what is behind a point; `battery` stands for its
    current and voltage, `joules` for energy that the sources there do not tell.
    """
    missing = dict(series.missing)
    if not series.columns.get("time_s"):
        return {**missing, "samples": "not one sample was taken"}
    for name in dict.fromkeys(column.partition(".")[0] for column in series.columns):
        if not any(series.values(column) for column in series.group(name)):
            missing.setdefault(name, "nothing could be read while it ran")
    if series.values("pss_bytes") and not pss_saw_the_peak(series):
        missing.setdefault("pss_bytes", "it is read rarely, and was not while memory was highest")
    if (why := no_joules(series)) is not None:
        missing.setdefault("joules", why)
    return missing
