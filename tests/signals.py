"""Signals for the processes that tests start."""

from __future__ import annotations

# Undoes what a background shell or nohup does to its jobs, which start with signals ignored.
# Before a command, not as preexec_fn: a fork of this process, where torch and jax have run
# threads, may hang before it gets that far.
ORDINARY_SIGNALS = ("env", "--default-signal=INT,TERM,HUP")
