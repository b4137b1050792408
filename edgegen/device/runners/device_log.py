"""Android's log, and its dumps of crashes."""

from __future__ import annotations

import re
import shlex

from edgegen.device.transports.failures import EndlessOutputError
from edgegen.device.transports.interface import Transport
from edgegen.errors import DeviceError

_LOGCAT_BYTES = 8 * 1024**2
_LOGCAT_LINES = 20_000
_DUMP_BYTES = 128 * 1024
_LOGCAT_S = 20.0
_TIME = re.compile(r"\d\d-\d\d \d\d:\d\d:\d\d")
# 11-23 20:15:16.123  1234  1240 I tag     : text
_LINE = re.compile(r"^\d\d-\d\d \d\d:\d\d:\d\d\.\d+ +(\d+) +\d+ [VDIWEFS] ([^\n]*?) *: ?(.*)$")
# Whose words matter, whichever process they are of.
_TAGS = {"DEBUG", "lowmemorykiller", "lmkd", "libc", "tombstoned", "crash_dump64"}


def device_time(transport: Transport) -> str | None:
    """Return the device's clock as logcat takes it."""
    said = transport.shell("date '+%m-%d %H:%M:%S'", timeout_s=transport.silence_s).text.strip()
    return f"{said}.000" if _TIME.fullmatch(said) else None


def read_logcat(transport: Transport, since: str | None) -> str:
    """Return Android's log since a time; empty where there is none, or it cannot be read."""
    if since is None:
        return ""
    command = (
        f"command -v logcat >/dev/null && logcat -d -v threadtime -b main,system,crash -T '{since}'"
        f" | tail -n {_LOGCAT_LINES}"
    )
    try:
        said = transport.shell(command, timeout_s=_LOGCAT_S, output_limit=_LOGCAT_BYTES)
    except (DeviceError, EndlessOutputError):
        return ""
    return said.text.replace("\r\n", "\n")


def read_tombstone(transport: Transport, newer_than: str) -> str:
    """Return the newest crash dump that is newer than a file; empty where there is none.

    On phones as they are sold the shell may not read it; then logcat has the same lines.
    """
    command = (
        "file=$(find /data/tombstones -name 'tombstone_*' ! -name '*.pb' "
        f"-newer {shlex.quote(newer_than)} 2>/dev/null | tail -n 1)\n"
        f'[ -z "$file" ] || head -c {_DUMP_BYTES} "$file"'
    )
    try:
        return transport.shell(command, timeout_s=_LOGCAT_S).text.replace("\r\n", "\n")
    except DeviceError:
        return ""


def lines_of(logcat: str, pid: int | None, *names: str) -> str:
    """Return the lines of a process, and those of the system about crashes and memory.

    Args:
        logcat: The log, in the form `threadtime`.
        pid: The process; without one no line counts as its own.
        names: Words by which the system would call it.
    """
    kept = []
    for line in logcat.splitlines():
        found = _LINE.match(line[:2000])
        if found is None:
            continue
        own = pid is not None and int(found[1]) == pid
        about = found[2] in _TAGS or any(name in found[3] for name in names)
        if own or about:
            kept.append(line)
    return "\n".join(kept)


def messages_of(logcat: str, pid: int | None) -> str:
    """Return what a process wrote to Android's log, without what the log puts before."""
    found = (_LINE.match(line[:2000]) for line in logcat.splitlines())
    return "\n".join(line[3] for line in found if line and pid is not None and int(line[1]) == pid)
