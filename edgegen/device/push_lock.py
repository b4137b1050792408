"""One push at a time to a file of a device, whoever pushes."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import posixpath
import secrets
import shlex
import socket
import threading
import uuid
from dataclasses import dataclass, field
from pathlib import Path

from edgegen.device.transports.failures import CommandFailedError, TargetBusyError, file_failure
from edgegen.device.transports.interface import Transport, number
from edgegen.errors import DeviceError

STALE_S = 900  # without a byte written or hashed, by the device's own clock
_RELEASE_S = 2.0
_held: set[str] = set()  # by this process


@dataclass
class PushLock:
    """A small file beside the target that names who pushes to it.

    Who finds it there waits, unless it is stale: its process ran on this computer and has ended,
    or nothing was written for a quarter of an hour.

    Attributes:
        target: The file that is pushed to.
        path: The lock.
        part: What the push writes into.
    """

    transport: Transport
    target: str
    path: str
    part: str
    cancel: threading.Event
    owner: str = field(init=False, default="")

    def take(self) -> None:
        """Become the owner.

        Raises:
            TargetBusyError: another push is under way.
        """
        for _ in range(5):  # somebody else may take it over first, or give it back
            self.owner = self.owner or f"{_place()}-{os.getpid()}-{secrets.token_hex(8)}"
            held = self._try()
            if held is None:
                _held.add(self.owner)
                return
            owner, idle_s = held
            if not _is_stale(owner, idle_s):
                raise TargetBusyError(self.transport.serial, self.target, self.path)
            self._throw_out(owner)
        raise TargetBusyError(self.transport.serial, self.target, self.path)

    def refresh(self) -> None:
        """Show that the push goes on; fails if another has taken over."""
        self.run_as_owner(f"touch {shlex.quote(self.path)}")

    def run_as_owner(self, script: str) -> None:
        """Run a script that must succeed, if the lock is still ours.

        Raises:
            TargetBusyError: another has taken over.
        """
        text = f"{self._is_ours()} || exit 99\n{script}"
        try:
            self.transport.run(text, cancel=self.cancel)
        except CommandFailedError as error:
            if "ended with 99" in error.message:
                serial = self.transport.serial
                raise TargetBusyError(serial, self.target, self.path) from error
            why = error.message.rpartition(": ")[2]
            raise file_failure(self.transport.serial, self.target, why) from error

    def release(self) -> None:
        """Remove it, if it is ours. A device that is gone keeps it, until it is stale."""
        _held.discard(self.owner)
        text = f"{self._is_ours()} && rm -f {shlex.quote(self.path)}"
        with contextlib.suppress(DeviceError):
            self.transport.shell(text, timeout_s=_RELEASE_S)

    def _is_ours(self) -> str:
        return f'[ "$(cat {shlex.quote(self.path)} 2>/dev/null)" = {shlex.quote(self.owner)} ]'

    def _try(self) -> tuple[str, int | None] | None:
        """Return `None` if it is ours now, else its owner and for how long nothing happened."""
        lock, part = shlex.quote(self.path), shlex.quote(self.part)
        text = f"""
if (set -C; echo {shlex.quote(self.owner)} >{lock}) 2>/dev/null; then echo mine; exit; fi
[ -e {lock} ] || (: >{lock}.try && rm -f {lock}.try) || exit 1
echo "$(cat {lock} 2>/dev/null)|"
date +%s 2>/dev/null
for file in {lock} {part}; do stat -c %Y $file 2>/dev/null; done
exit 0"""
        try:
            lines = self.transport.run(text, cancel=self.cancel).split()
        except CommandFailedError as error:
            folder, why = posixpath.dirname(self.path), error.message.rpartition(": ")[2]
            raise file_failure(self.transport.serial, folder, why) from error
        if lines == ["mine"]:
            return None
        times = [time for line in lines[1:] if (time := number(line)) is not None]
        idle_s = times[0] - max(times[1:]) if len(times) > 1 else None
        return (lines[0].rstrip("|") if lines else ""), idle_s

    def _throw_out(self, owner: str) -> None:
        """Remove a stale lock, if it is still the one that was looked at."""
        lock, aside = shlex.quote(self.path), shlex.quote(f"{self.path}.{secrets.token_hex(4)}")
        found = f'[ "$(cat {lock} 2>/dev/null)" = {shlex.quote(owner)} ]'
        text = f"{found} && mv -f {lock} {aside} && rm -f {aside}"
        self.transport.shell(text, timeout_s=self.transport.silence_s, cancel=self.cancel)


def _is_stale(owner: str, idle_s: int | None) -> bool:
    if idle_s is not None and idle_s > STALE_S:
        return True
    place, _, rest = owner.partition("-")
    process_id = number(rest.partition("-")[0])
    if place != _place() or process_id is None or process_id > 2**31:
        return False
    if process_id == os.getpid():
        return owner not in _held
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass
    return False


@functools.cache
def _place() -> str:
    """Return a word for this computer, and the container where that counts its own processes."""
    try:
        processes = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        processes = ""
    name = f"{socket.gethostname()} {uuid.getnode()} {processes}"
    return hashlib.sha256(name.encode()).hexdigest()[:16]
