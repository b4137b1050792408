"""A bundle's health as text for people."""

from __future__ import annotations

from edgegen.bundle.doctor.findings import BundleHealth
from edgegen.report.tables import PLAIN_WIDTH, Part, table, to_text


def render_health(health: BundleHealth, *, terminal: bool, width: int = PLAIN_WIDTH) -> str:
    """Return all findings as a table, and what to do about those that are no passes.

    Args:
        health: What to show.
        terminal: Whether the reader is a terminal.
        width: Columns to use at most.
    """
    rows = [(f.check, f.verdict, f.reason) for f in health.findings]
    hints = dict.fromkeys(
        f"{f.check}: {f.hint}" for f in health.findings if f.hint and f.verdict != "pass"
    )
    counts = {
        verdict: sum(f.verdict == verdict for f in health.findings)
        for verdict in ("pass", "warn", "fail", "skipped")
    }
    told = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
    parts: list[Part] = [table(("check", "verdict", "what was found"), rows, terminal=terminal), ""]
    if hints:
        parts += ["what to do:", *(f"  {hint}" for hint in hints), ""]
    parts.append(f"{health.verdict}: {health.path} ({told})")
    return to_text(parts, terminal=terminal, width=width)
