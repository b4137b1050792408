"""Differences between two bundles as text for people."""

from __future__ import annotations

import json
from typing import Any

from edgegen.bundle.diff import BundleDiff
from edgegen.report.tables import PLAIN_WIDTH, Part, printable, table, to_text

_HASH_CHARACTERS = 12
_LONGEST = 60


def render_diff(diff: BundleDiff, *, terminal: bool, width: int = PLAIN_WIDTH) -> str:
    """Return what differs as a table.

    Args:
        diff: What to show.
        terminal: Whether the reader is a terminal.
        width: Columns to use at most.
    """
    if diff.same_bytes:
        return f"{diff.first} and {diff.second} are equal byte for byte\n"
    if not diff.differences:
        return f"{diff.first} and {diff.second} hold the same, laid out differently\n"
    rows = []
    for difference in diff.differences:
        first, second = difference.first, difference.second
        if isinstance(first, dict) and isinstance(second, dict):
            names = [n for n in dict.fromkeys([*first, *second]) if first.get(n) != second.get(n)]
            first = {name: first.get(name) for name in names}
            second = {name: second.get(name) for name in names}
        rows.append((difference.part, printable(difference.name), _short(first), _short(second)))
    parts: list[Part] = [
        table(("", "name", str(diff.first), str(diff.second)), rows, terminal=terminal),
        "",
        f"{len(rows)} differences",
    ]
    return to_text(parts, terminal=terminal, width=width)


def _short(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_short(_clipped(name, value[name]))}" for name in value)
    text = value if isinstance(value, str) else json.dumps(value)
    text = printable(text).replace("\n", "\\n")
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _clipped(name: str, value: Any) -> Any:
    return value[:_HASH_CHARACTERS] if name == "sha256" and value else value
