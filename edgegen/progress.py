"""Telling how far long work has come, without the library ever printing.

Library code opens a `stage` and calls what it yields; whoever runs the library decides
what that looks like by installing a `Reporter` (the command line draws bars on stderr when
that is a terminal). Without a reporter nothing happens.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Protocol

Advance = Callable[[int], None]


class Reporter(Protocol):
    """Shows stages. Called from the thread that does the work, or from its workers."""

    def start(self, name: str, total: int | None, unit: str) -> Advance:
        """Begin to show a stage; the result is called with each amount done."""

    def finish(self, name: str) -> None:
        """End the stage of that name."""


_reporter: ContextVar[Reporter | None] = ContextVar("edgegen_progress", default=None)


@contextlib.contextmanager
def reporting(reporter: Reporter) -> Iterator[None]:
    """Show every stage inside the block through `reporter`."""
    token = _reporter.set(reporter)
    try:
        yield
    finally:
        _reporter.reset(token)


@contextlib.contextmanager
def stage(name: str, total: int | None = None, unit: str = "") -> Iterator[Advance]:
    """Open a stage of work; call the result with the amount just done.

    Args:
        name: What a user reads, such as `quantize`.
        total: The amount that makes the stage complete, or `None` when unknown.
        unit: `B` for bytes, else a word for the things counted.
    """
    reporter = _reporter.get()
    if reporter is None:
        yield lambda amount: None
        return
    advance = reporter.start(name, total, unit)
    try:
        yield advance
    finally:
        reporter.finish(name)
