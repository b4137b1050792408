"""Samples of one run over time, as lines or as areas on top of each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from edgegen.report.bench.svg import element, tick_text, ticks

_MOST_POINTS = 240
_SIDE = 1000.0  # of the drawing's own square, which the page stretches
COLOURS = 8

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class TimeChart:
    """A drawing with what stands around it.

    Attributes:
        title: What it shows, with the unit.
        drawing: The SVG.
        y_ticks: Place from the bottom in percent, and text.
        x_ticks: Place from the left in percent, and text.
        legend: Colour number and name of each line.
        table: For each line its name, first, highest and last value.
    """

    title: str
    drawing: Markup
    y_ticks: tuple[tuple[float, str], ...]
    x_ticks: tuple[tuple[float, str], ...]
    legend: tuple[tuple[int, str], ...]
    table: tuple[tuple[str, str, str, str], ...]


def time_chart(
    title: str, lines: Mapping[str, Points], *, stacked: bool = False, from_zero: bool = True
) -> TimeChart | None:
    """Draw lines over time; `None` where there is nothing to draw.

    Args:
        title: What it shows, with the unit.
        lines: For each name its points, time in seconds and value.
        stacked: Draw areas on top of each other; the lines must have the same times.
        from_zero: Whether the scale begins at 0.
    """
    told = {name: thinned(points) for name, points in lines.items() if len(points) > 1}
    told = dict(list(told.items())[:COLOURS])
    if not told:
        return None
    drawn = _stacked(told) if stacked else told
    end_s = max(points[-1][0] for points in drawn.values())
    values = [value for points in drawn.values() for _, value in points]
    y_at = ticks(0.0 if from_zero else min(values), max(values), 4)
    x_at = [tick for tick in ticks(0.0, end_s, 5) if tick <= end_s]
    low, high = y_at[0], y_at[-1]

    def x(seconds: float) -> float:
        return seconds / (end_s or 1.0) * _SIDE

    def y(value: float) -> float:
        return _SIDE - (value - low) / (high - low) * _SIDE

    parts = [
        element("line", x1="0", x2=_SIDE, y1=y(tick), y2=y(tick), class_="grid") for tick in y_at
    ]
    before = [(seconds, low) for seconds, _ in next(iter(drawn.values()))]
    for colour, (name, points) in enumerate(drawn.items()):
        path = "M" + "L".join(f"{x(s):.1f} {y(v):.1f}" for s, v in points)
        shown = element("title", name)
        if stacked:
            area = path + "L" + "L".join(f"{x(s):.1f} {y(v):.1f}" for s, v in reversed(before))
            parts.append(element("path", shown, d=f"{area}Z", class_=f"area c{colour}"))
            before = list(points)
        parts.append(element("path", shown, d=path, class_=f"line c{colour}"))
    drawing = element(
        "svg",
        element("title", title) + Markup("").join(parts),
        viewBox=f"0 0 {_SIDE:.0f} {_SIDE:.0f}",
        preserveAspectRatio="none",
        role="img",
    )
    return TimeChart(
        title,
        drawing,
        tuple(((tick - low) / (high - low) * 100, tick_text(tick)) for tick in y_at),
        tuple((x(tick) / _SIDE * 100, f"{tick_text(tick)} s") for tick in x_at),
        tuple(enumerate(told)),
        tuple(
            (name, f"{p[0][1]:.4g}", f"{max(v for _, v in p):.4g}", f"{p[-1][1]:.4g}")
            for name, p in told.items()
        ),
    )


def _stacked(lines: Mapping[str, Points]) -> dict[str, Points]:
    """Add each line to those below it; times are those that all have."""
    common = set.intersection(*({s for s, _ in points} for points in lines.values()))
    total = dict.fromkeys(sorted(common), 0.0)
    drawn: dict[str, Points] = {}
    for name, points in lines.items():
        for seconds, value in points:
            if seconds in total:
                total[seconds] += value
        drawn[name] = list(total.items())
    return drawn


def thinned(points: Points) -> Points:
    """Return fewer points with the same extremes: of each stretch the lowest or the highest.

    Which of them takes turns by stretch, so points of lines with the same times may differ;
    stretches are by place, and the last point is kept.
    """
    if len(points) <= _MOST_POINTS:
        return points
    stretch = -(-len(points) // _MOST_POINTS)
    kept = [points[at] for at in range(0, len(points), stretch)]
    peak = max(points, key=lambda point: point[1])
    return sorted({*kept, peak, points[-1]})
