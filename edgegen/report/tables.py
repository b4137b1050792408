"""Tables as text: lines and bold type for a terminal, plain columns for everything else."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from typing import Literal

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

MIB = 1024**2
PLAIN_WIDTH = 100  # where the output is no terminal that could tell

Part = str | Table


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, terminal: bool) -> Table:
    """Make a table; columns whose name starts with `>` are aligned to the right."""
    made = Table(box=box.SIMPLE_HEAD if terminal else None, pad_edge=False)
    for column in columns:
        justify: Literal["left", "right"] = "right" if column.startswith(">") else "left"
        made.add_column(_text(column.lstrip(">")), justify=justify)
    for row in rows:
        made.add_row(*map(_text, row))
    return made


def printable(text: str) -> str:
    """Return `text` without the characters that could take over a terminal.

    Names in a file that came from anywhere may hold escape sequences.
    """
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)


def to_text(parts: Iterable[Part], *, terminal: bool, width: int) -> str:
    """Render lines and tables one below the other."""
    out = io.StringIO()
    console = Console(
        file=out, force_terminal=terminal, width=width, no_color=True, highlight=False
    )
    for part in parts:
        # Lines are left whole: a hash or a path that wraps cannot be copied.
        if isinstance(part, str):
            console.print(_text(part), soft_wrap=True)
        else:
            console.print(part)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def _text(text: str) -> Text:
    return Text(printable(text))  # Text: brackets are no markup


def number(value: float) -> str:
    """Three digits that mean something, without exponents."""
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def mib(nbytes: int) -> str:
    """Bytes as MiB."""
    return f"{number(nbytes / MIB)} MiB"
