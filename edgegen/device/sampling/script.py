"""A command on a device and the loop that samples its process, as one script for its `sh`."""

from __future__ import annotations

import math
import re
import shlex

from edgegen.device.sampling.series import FORMAT
from edgegen.device.sampling.shell_text import LOOP, PROBE, READERS
from edgegen.device.sampling.sources import SERVICE_S, SLOW_S

TIMED_OUT = 124  # as of timeout(1)
_QUOTED = re.compile(r"""'[^']*'|"(?:[^"\\]|\\.)*"|\\.""", re.DOTALL)
_REDIRECTED = re.compile(r"[<>]&[0-9-]")
_EXEC = re.compile(r"(?:^|[\s;&|(])exec\s")
_LIST = re.compile(r"[;&|()\n]")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")


def sampling_script(
    command: str,
    *,
    csv_path: str,
    interval_s: float,
    timeout_s: float | None,
    sys: str = "/sys",
    proc: str = "/proc",
) -> str:
    """Return a script for a POSIX `sh` that runs a command and samples its process.

    Output and exit code are the command's own; 124 after a timeout, of which `Series.timed_out`
    tells too. Should the script's shell go, or who started it, the command is ended: at once by
    SIGHUP, SIGINT and SIGTERM, within two intervals if they were killed.

    The script is about 9 KB long, more than the text of a command may be on devices whose adb has
    packets of 4 KB (Android 6 and older): push it as a file, and run `sh FILE`.

    Args:
        command: A command with its assignments and redirections, which becomes the sampled
            process; or a list of commands of which the last begins with `exec`.
        csv_path: The file to write, for `read_series`.
        interval_s: Time between two samples, plus what a sample takes.
        timeout_s: Kill the command after that time, up to a second later.
        sys: Where the device has sysfs.
        proc: Where the device has procfs.

    Raises:
        ValueError: `command` is a list without `exec`, has a quote without its end, or the
            times are not above 0.
    """
    if not 0 < interval_s < math.inf or (timeout_s is not None and not 0 < timeout_s < math.inf):
        raise ValueError(f"interval {interval_s!r} s and timeout {timeout_s!r} s, expected > 0")
    slow = max(1, math.ceil(SLOW_S / interval_s))
    settings = {
        "out": csv_path,
        "sys": sys,
        "proc": proc,
        "interval": f"{interval_s:.3f}",
        "limit": "" if timeout_s is None else str(math.ceil(timeout_s)),
        "slow": str(slow),
        "service": str(max(1, math.ceil(SERVICE_S / (slow * interval_s)))),
        "format": FORMAT,
    }
    head = "".join(f"{name}={shlex.quote(value)}\n" for name, value in settings.items())
    return f"{head}{READERS}{PROBE}start() {{\n{_executed(command)}\n}}\n{LOOP}"


def _executed(command: str) -> str:
    """Return a command so that it takes the place of the shell that runs it."""
    plain = _REDIRECTED.sub(" ", _QUOTED.sub("q", command.strip()))
    if not plain or "'" in plain or '"' in plain:
        raise ValueError(f"{command!r} is no command")
    if _EXEC.search(plain):
        return command
    if _LIST.search(plain):
        raise ValueError(f"{command!r} is a list of commands, expected its last to begin with exec")
    # `env`, because `exec NAME=value program` would look for a program of that name.
    return f"exec {'env ' if _ASSIGNMENT.match(plain) else ''}{command}"
