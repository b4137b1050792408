"""Numbers as engines write them."""

from __future__ import annotations

import math
import re

MIB = 1024**2
# What a line may hold is bounded, so that no hostile log makes a pattern slow.
NUMBER = r"(\d{1,15}(?:\.\d{1,15})?(?:[eE][+-]?\d{1,2})?)"
COUNT = r"(\d{1,9})"
_PIECE = re.compile(r"(\d{1,15}(?:\.\d{1,18})?)(h|ms|m|us|s|ns)")
_DURATION = re.compile(rf"(?:{_PIECE.pattern}){{1,6}}")
_MS = {"h": 3_600_000.0, "m": 60_000.0, "s": 1000.0, "ms": 1.0, "us": 1e-3, "ns": 1e-6}


def duration_ms(text: str) -> float | None:
    """Return what `absl::FormatDuration` wrote, such as `1m2.3s`, `372.5ms` or `46.1us`, in ms."""
    if _DURATION.fullmatch(text) is None:
        return None
    return sum(float(number) * _MS[unit] for number, unit in _PIECE.findall(text))


def positive(text: str | float | None, factor: float = 1.0) -> float | None:
    """Return a rate or a time.

    `None` for 0 and what is no finite number: an engine that measured nothing writes 0.
    """
    if text is None:
        return None
    try:
        value = float(text) * factor
    except (ValueError, OverflowError):
        return None
    return value if math.isfinite(value) and value > 0 else None


def mib(text: str | float | None) -> int | None:
    """Return bytes for MiB, which engines call MB."""
    value = positive(text, MIB)
    return None if value is None or value > 2**50 else round(value)
