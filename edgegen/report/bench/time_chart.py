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
        stacked: Draw areas on top of each other, at the times that all lines have; no chart
            where those are fewer than two.
        from_zero: Whether the scale begins at 0.
    """
    if stacked:
        whole = told = _at_common_times(lines)
        drawn = _thinned_together(_sums(whole))
    else:
        whole = {name: points for name, points in lines.items() if len(points) > 1}
        told = dict(list(whole.items())[:COLOURS])
        drawn = {name: thinned(points) for name, points in told.items()}
    if not told:
        return None
    if left_out := len(whole) - len(told):
        title += f" ({left_out} more lines are left out)"
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


def _at_common_times(lines: Mapping[str, Points]) -> dict[str, Points]:
    """Return lines at the times that all of them have; none where those are fewer than two."""
    values = {name: dict(points) for name, points in lines.items()}
    common = sorted(set.intersection(*(set(each) for each in values.values())))
    if len(common) < 2:
        return {}
    return {name: [(s, each[s]) for s in common] for name, each in values.items()}


def _sums(lines: Mapping[str, Points]) -> dict[str, Points]:
    """Add each line to those below it."""
    drawn: dict[str, Points] = {}
    below = [0.0] * max((len(points) for points in lines.values()), default=0)
    for name, points in lines.items():
        below = [value + under for (_, value), under in zip(points, below, strict=True)]
        drawn[name] = [(s, value) for (s, _), value in zip(points, below, strict=True)]
    return drawn


def thinned(points: Points) -> Points:
    """Return fewer points with the same extremes: of each stretch the lowest and the highest.

    Stretches are by place; the first and the last point are kept.
    """
    return _thinned_together({"": points})[""]


def _thinned_together(lines: Mapping[str, Points]) -> dict[str, Points]:
    """Return lines with the same times at fewer of them, the same for all.

    Of each stretch stay the times of the lowest and of the highest point of each line.
    """
    most = max((len(points) for points in lines.values()), default=0)
    if most <= _MOST_POINTS:
        return dict(lines)
    stretch = -(-most * 2 * len(lines) // _MOST_POINTS)
    kept = {0, most - 1}
    for points in lines.values():
        for start in range(0, most, stretch):
            places = range(start, min(start + stretch, most))
            kept |= {
                min(places, key=lambda place: points[place][1]),
                max(places, key=lambda place: points[place][1]),
            }
    return {name: [points[place] for place in sorted(kept)] for name, points in lines.items()}
