"""Drawings as SVG that scales with its page: places in percent, sizes of marks in pixels."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from markupsafe import Markup, escape

_TICKS = 5
MOST_DOTS = 200
_LEAST_STEP = 1e-300  # smaller ones have no logarithm, or no digits left


def ticks(low: float, high: float, wanted: int = _TICKS) -> list[float]:
    """Return round numbers that reach from `low` or below to `high` or above."""
    if not (high - low) / wanted > _LEAST_STEP:
        high = low + (abs(low) if abs(low) > _LEAST_STEP * wanted * 2 else 1.0)
    raw = (high - low) / wanted
    exponent = math.floor(math.log10(raw))
    magnitude = 10.0**exponent
    step = next(m * magnitude for m in (1, 2, 2.5, 5, 10) if m * magnitude >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    # Digits that a multiple of 2.5 of the magnitude needs; the rest is of the float's making.
    return [round(n * step, 2 - exponent) for n in range(first, last + 1)]


def tick_text(value: float) -> str:
    """Return a tick's number."""
    if abs(value) >= 1e6:
        return f"{value:.3g}"
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:.3g}"


def element(name: str, content: str | Markup = "", /, **attributes: object) -> Markup:
    """Return an element; `_` in the names of attributes stands for `-`, and a last one for none."""
    told = Markup("").join(
        Markup(' {}="{}"').format(Markup(key.rstrip("_").replace("_", "-")), _number(value))
        for key, value in attributes.items()
        if value is not None
    )
    return Markup("<{0}{1}>{2}</{0}>").format(Markup(name), told, content)


def _number(value: object) -> object:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else value


def strip(
    values: Sequence[float],
    told: Sequence[str],
    *,
    low: float | None,
    high: float | None,
    median: float,
    most: float,
    label: str,
) -> Markup:
    """Draw samples on a line from 0 to `most`: a dot each, the median, and its interval as a bar.

    Args:
        values: The samples.
        told: What is said of each where the pointer rests on it.
        low: Lower end of the interval, if there is one.
        high: Its upper end.
        median: Their median.
        most: End of the scale.
        label: What the drawing says, for those who cannot see it.
    """
    at = _place(0, most)
    parts = [element("line", x1="0%", x2="100%", y1="18", y2="18", class_="track")]
    if low is not None and high is not None:
        width = max((high - low) / most * 100, 0.3)
        parts.append(
            element(
                "rect",
                x=at(low),
                y="9",
                width=f"{width:.2f}%",
                height="18",
                rx="4",
                class_="interval",
            )
        )
    for place, (value, title) in enumerate(zip(values[:MOST_DOTS], told, strict=False)):
        # Dots that would hide each other are spread a little.
        y = 18 + (place % 3 - 1) * 4
        parts.append(
            element("circle", element("title", title), cx=at(value), cy=str(y), r="4", class_="dot")
        )
    parts.append(element("line", x1=at(median), x2=at(median), y1="5", y2="31", class_="median"))
    return _drawing(label, 36, parts)


def ratio_bar(
    low: float | None,
    high: float | None,
    ratio: float,
    *,
    ends: tuple[float, float],
    tone: str,
    label: str,
) -> Markup:
    """Draw a ratio with its interval on a scale with a line at 1."""
    at = _place(*ends)
    parts = [
        element("line", x1="0%", x2="100%", y1="14", y2="14", class_="track"),
        element("line", x1=at(1), x2=at(1), y1="2", y2="26", class_="one"),
    ]
    if low is not None and high is not None:
        parts.append(
            element("line", x1=at(low), x2=at(high), y1="14", y2="14", class_=f"whisker {tone}")
        )
    parts.append(element("circle", cx=at(ratio), cy="14", r="6", class_=f"ratio {tone}"))
    return _drawing(label, 28, parts)


def share_bar(share: float, *, label: str) -> Markup:
    """Draw a share of 1 as a bar."""
    inside = min(max(share, 0.0), 1.0) * 100
    parts = [
        element("rect", x="0", y="6", width="100%", height="14", rx="5", class_="whole"),
        element("rect", x="0", y="6", width=f"{inside:.2f}%", height="14", rx="5", class_="share"),
    ]
    return _drawing(label, 26, parts)


def _place(low: float, high: float) -> Callable[[float], str]:
    def at(value: float) -> str:
        return f"{min(max((value - low) / (high - low), 0.0), 1.0) * 100:.2f}%"

    return at


def _drawing(label: str, height: int, parts: Iterable[Markup]) -> Markup:
    content = element("title", label) + Markup("").join(parts)
    return element(
        "svg", content, width="100%", height=str(height), role="img", aria_label=escape(label)
    )
