"""Hashes of files on a device, by whatever program it has."""

from __future__ import annotations

import hashlib
import shlex
import threading
from dataclasses import dataclass

from edgegen.device.transports.failures import CommandFailedError
from edgegen.device.transports.interface import Transport, number

BLOCK = 1024**2
_SLOWEST = 5 * 1024**2  # bytes/s that a device hashes at least
# What a device may have, the best first: algorithm, and the command that reads its input.
_PROGRAMS = (
    ("sha256", "sha256sum"),
    ("sha256", "toybox sha256sum"),
    ("sha256", "busybox sha256sum"),
    ("sha256", "openssl dgst -sha256 -r"),
    ("sha1", "sha1sum"),
    ("md5", "md5sum"),
)


@dataclass(frozen=True)
class DeviceDigest:
    """A way to hash on a device.

    Attributes:
        algorithm: As `hashlib` has it.
        command: The program.
    """

    algorithm: str
    command: str

    def of_file(
        self, transport: Transport, path: str, size: int, cancel: threading.Event | None = None
    ) -> str:
        """Return the hash of a file of that size.

        Raises:
            CommandFailedError: the device cannot read it.
        """
        return self._run(transport, f"{self.command} <{shlex.quote(path)}", size, cancel)

    def of_blocks(
        self,
        transport: Transport,
        path: str,
        begin: int,
        end: int,
        cancel: threading.Event | None = None,
    ) -> str:
        """Return the hash of the MiB from `begin` to `end`."""
        take = f"dd if={shlex.quote(path)} bs={BLOCK} skip={begin} count={end - begin} 2>/dev/null"
        return self._run(transport, f"{take} | {self.command}", (end - begin) * BLOCK, cancel)

    def _run(
        self, transport: Transport, command: str, size: int, cancel: threading.Event | None
    ) -> str:
        timeout_s = transport.silence_s + size / _SLOWEST
        words = transport.run(command, timeout_s=timeout_s, cancel=cancel).split()
        if not words or len(words[0]) != 2 * hashlib.new(self.algorithm).digest_size:
            raise CommandFailedError(transport.serial, self.command, 0, " ".join(words)[:200])
        return words[0].lower()


def choose_digest(
    transport: Transport, cancel: threading.Event | None = None
) -> DeviceDigest | None:
    """Return the best way that a device has to hash, `None` if it has none.

    A program counts if it knows the hash of nothing.
    """
    tried = "\n".join(
        f'echo "{place} $({command} </dev/null 2>/dev/null)"'
        for place, (_, command) in enumerate(_PROGRAMS)
    )
    said = transport.shell(tried, timeout_s=transport.silence_s, cancel=cancel).text
    for line in said.splitlines():
        first, *words = line.split() or [""]
        which = number(first)
        if words and which is not None and which < len(_PROGRAMS):
            algorithm, command = _PROGRAMS[which]
            if words[0].lower() == hashlib.new(algorithm).hexdigest():
                return DeviceDigest(algorithm, command)
    return None
