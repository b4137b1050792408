"""Signals for the processes that tests start."""

from __future__ import annotations

import signal


def default_signals() -> None:
    """Undo what a background shell does to its jobs: they start with SIGINT ignored.

    For `subprocess.Popen(preexec_fn=...)`.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
