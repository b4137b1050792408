"""Energy of a run, from the battery's gauge or the processor's counters."""

from __future__ import annotations

from itertools import pairwise

from edgegen.device.sampling.series import Series

# A device that computes takes more than this, so less is a gauge that counts in other units.
_LEAST_MA = 5.0
_VOLTS = (2.0, 30.0)


def joules_of(series: Series) -> tuple[float, str] | None:
    """Return the energy from the first sample to the last and its source, `battery` or `rapl`.

    A battery counts only while it discharges all the time: else some of the energy comes from
    the plug, and no gauge tells how much. RAPL counts the processor's packages, without memory
    that has a counter of its own. `None` where neither can be read.
    """
    for source, joules in (("battery", _from_battery(series)), ("rapl", _from_rapl(series))):
        if isinstance(joules, float):
            return joules, source
    return None


def no_joules(series: Series) -> str | None:
    """Return why sources that were read do not tell the energy; `None` if they do, or none was."""
    if joules_of(series) is not None:
        return None
    found = (
        ("battery_ma", _from_battery(series)),
        ("rapl_uj", _from_rapl(series)),
    )
    return "; ".join(str(why) for name, why in found if series.group(name)) or None


def _from_battery(series: Series) -> float | str:
    """Integrate current times voltage by trapezoids; or say why not."""
    states = series.values("battery_discharging")
    if not states:
        return "the battery does not tell whether it is being charged"
    if not all(states):
        return "the battery was not discharging all the time, so the plug gave some of the energy"
    names = ("time_s", "battery_ma", "battery_mv")
    rows = zip(*(series.columns.get(name, ()) for name in names), strict=False)
    points = [
        (time_s, milliamps, millivolts / 1e3)
        for time_s, milliamps, millivolts in rows
        if time_s is not None and milliamps is not None and millivolts is not None
    ]
    if len(points) < 2:
        return "the battery was sampled less than twice"
    if not all(_VOLTS[0] < volts < _VOLTS[1] for _, _, volts in points):
        return "what the battery tells as its voltage is none in microvolts"
    # Makers disagree about the sign of a discharge; within one run it stays the same.
    currents = [milliamps for _, milliamps, _ in points]
    if min(currents) < 0 < max(currents):
        return "the battery's current changed its direction"
    if abs(sum(currents)) / len(currents) < _LEAST_MA:
        return "what the battery tells as its current is none in microamperes"
    joules = sum(
        (later[0] - earlier[0]) * (earlier[1] * earlier[2] + later[1] * later[2]) / 2e3
        for earlier, later in pairwise(points)
    )
    return abs(joules) or "no time passed between the battery's samples"


def _from_rapl(series: Series) -> float | str:
    """Add up the counters' steps, each of which begins again behind its range; or say why not."""
    total_uj = 0.0
    for name in series.group("rapl_uj"):
        values = series.values(name)
        if len(values) < 2:
            return "a counter of energy was read less than twice"
        told = series.facts.get(f"range.{name}", "")
        range_uj = float(told) if told.isascii() and told.isdigit() and len(told) < 20 else None
        for earlier, later in pairwise(values):
            step = later - earlier
            if step < 0:
                if range_uj is None or earlier > range_uj:
                    return "a counter of energy began again, and nothing tells its range"
                step += range_uj
            total_uj += step
    return total_uj / 1e6 if total_uj > 0 else "the counters of energy stood still"
