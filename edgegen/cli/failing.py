"""How a command fails: an `error:` line, a `hint:` line, and its exit status."""

from __future__ import annotations

import errno
import os
import signal
import sys
import traceback
from typing import TextIO

from edgegen.cli.ending import Ended

_PERMISSIONS = "check the permissions of the file and of its folder"
_SPACE = "free some space, or choose another disk"
_NO_FOLDER = "a part of the path is a file, expected a folder; choose another path"
_HINTS = {
    errno.EACCES: _PERMISSIONS,
    errno.EPERM: _PERMISSIONS,
    errno.EROFS: _PERMISSIONS,
    errno.ENOSPC: _SPACE,
    errno.EDQUOT: _SPACE,
    errno.EEXIST: _NO_FOLDER,
    errno.ENOTDIR: _NO_FOLDER,
    errno.ENOENT: "check the path",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ENOMEM: "close other programs",
}


def fail(message: str, hint: str | None) -> int:
    """Print an error; return the exit status."""
    # Here, since it brings tables along, which only failures need.
    from edgegen.report.tables import printable

    lines = [f"error: {message}", *([f"hint: {hint}"] if hint else [])]
    try:
        print(printable("\n".join(lines)), file=sys.stderr, flush=True)
    except OSError:
        _abandon(sys.stderr)  # a terminal that was closed, which is why SIGHUP came
    return 1


def fail_ended(ended: KeyboardInterrupt) -> int:
    """Print that a signal ended us; return the exit status that a shell expects."""
    number = signal.Signals(ended.number if isinstance(ended, Ended) else signal.SIGINT)
    what = "interrupted" if number == signal.SIGINT else f"ended by {number.name}"
    fail(what, "nothing was left half-written; run the command again")
    return 128 + number


def fail_os(error: OSError, *, verbose: bool) -> int:
    """Print what the operating system refused, with -v also where; return the exit status."""
    if verbose:
        traceback.print_exception(error)
    what = "reading or writing failed" if error.filename is None else str(error.filename)
    hint = _HINTS.get(error.errno or 0, "run the command again with -v to see where it failed")
    return fail(f"{what}: {error.strerror or error}", hint)


def abandon_stdout() -> None:
    """Flush stdout, or give it up: Python would complain once more at exit."""
    try:
        sys.stdout.flush()
    except OSError:
        _abandon(sys.stdout)


def _abandon(stream: TextIO) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
