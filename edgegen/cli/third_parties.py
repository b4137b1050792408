"""What the libraries below us print: nothing, or with -v everything."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def third_parties(*, verbose: bool) -> Iterator[None]:
    """Keep the libraries below us from talking over our own output, unless asked to.

    Asked to, print the logs of our child processes too: `edgegen.engine`, `edgegen.convert`.
    """
    with _logs_shown() if verbose else _silence():
        yield


@contextlib.contextmanager
def _logs_shown() -> Iterator[None]:
    logger = logging.getLogger("edgegen")
    level, handler = logger.level, _OnStderr()
    logger.setLevel(logging.DEBUG)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


class _OnStderr(logging.Handler):
    """Prints on what `sys.stderr` is by then: progress bars put their own there."""

    def emit(self, record: logging.LogRecord) -> None:
        from edgegen.report.tables import printable

        print(printable(self.format(record)), file=sys.stderr)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), _native_stderr_silenced():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


@contextlib.contextmanager
def _native_stderr_silenced() -> Iterator[None]:
    """Send what native code writes to descriptor 2 nowhere, and keep `sys.stderr` working."""
    sys.stderr.flush()
    terminal = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    ours = sys.stderr
    if ours is sys.__stderr__:  # and not a test's or an embedder's own object
        sys.stderr = open(terminal, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115 - a descriptor, closed below
    try:
        yield
    finally:
        if sys.stderr is not ours:
            sys.stderr.flush()
            sys.stderr = ours
        os.dup2(terminal, 2)
        os.close(terminal)
