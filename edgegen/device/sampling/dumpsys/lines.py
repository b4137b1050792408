"""Lines of a text that a device wrote, of any size and content."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

_TEXT = 4 * 1024**2
_LINE = 1024
_DECIMAL = re.compile(r"-?[0-9]{1,9}(?:\.[0-9]{1,12})?(?:[eE][+-]?[0-9]{1,2})?")


def lines_of(text: str) -> Iterator[str]:
    """Yield the lines, each of them bounded, with either kind of line end."""
    for line in text[:_TEXT].split("\n"):
        yield line[:_LINE].rstrip("\r")


def decimal(text: str) -> float | None:
    """Return a number such as `62.500004` or `3.1E1`; `None` if it is none, or not finite."""
    if not _DECIMAL.fullmatch(text):
        return None
    value = float(text)
    return value if math.isfinite(value) else None
