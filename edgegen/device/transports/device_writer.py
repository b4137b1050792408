"""Writing into the middle of a file on a device, by whatever its `dd` can do.

GNU's, toybox's and busybox's `dd` keep what is there and sync by `conv=notrunc,fsync`. Older ones
lack `fsync`, and toolbox's, up to Android 5, knows no `conv=` at all: there `cat` appends.
"""

from __future__ import annotations

import posixpath
import re
import secrets
import shlex
from dataclasses import dataclass
from typing import Literal

from edgegen.device.transports.interface import checked

_MIB = 1024**2


@dataclass(frozen=True)
class DeviceWriter:
    """How a device writes.

    Attributes:
        way: Options of `dd`, or that `cat` must do.
        certain: Whether the device could be asked; where a folder cannot be written it could not.
    """

    way: Literal["notrunc,fsync", "notrunc", "cat"]
    certain: bool = True

    def begin(self, path: str, block: int) -> str:
        """Return a script that fails where the MiB before `block` are not there."""
        name = shlex.quote(checked(path))
        if block == 0:
            return ":"
        there = f"$(dd if={name} bs={_MIB} skip={block - 1} count=1 2>/dev/null | wc -c)"
        gone = f"dd: the first {block} MiB of the part file are no longer there"
        check = f"[ {there} -eq {_MIB} ] || {{ echo {shlex.quote(gone)} >&2; exit 1; }}"
        if self.way != "cat":
            return check
        cut = shlex.quote(path + ".cut")
        copied = f"{{ dd if={name} of={cut} bs={_MIB} count={block} && mv -f {cut} {name}; }}"
        return (
            f"{check}\ntruncate -s {block * _MIB} {name} 2>/dev/null || {copied} || "
            f"{{ rm -f {cut}; exit 1; }}"
        )

    def script(self, path: str, block: int, size: int | None) -> str:
        """Return a script that writes what it reads, up to `size` bytes where that is told."""
        name = shlex.quote(checked(path))
        head = "" if size is None else f"head -c {size} | "
        if self.way == "cat":
            return f"{head}cat >{'>' if block else ''}{name} && sync"
        text = f"{head}dd of={name} bs={_MIB} seek={block} conv={self.way}"
        return text if self.way == "notrunc,fsync" else f"{text} && sync"


def probe(path: str, *, counted: bool) -> str:
    """Return a script that tries what a device can do, in the folder of a file."""
    tried = shlex.quote(f"{posixpath.dirname(path)}/.{secrets.token_hex(8)}.probe")
    lines = [
        f"(: >{tried}) 2>/dev/null && echo folder",
        *(
            f"dd of={tried} bs={_MIB} seek=0 conv={way} </dev/null >/dev/null 2>&1 && echo {way}"
            for way in ("notrunc,fsync", "notrunc")
        ),
    ]
    if counted:
        lines.append("case $(echo word | head -c 4 2>/dev/null) in word) echo head;; esac")
    return "\n".join((*lines, f"rm -f {tried}"))


def parse_probe(said: str, *, counted: bool) -> DeviceWriter | None:
    """Return how a device writes; `None` if it cannot be told where a file ends."""
    words = said.split()
    if counted and "head" not in words:
        return None
    if "notrunc,fsync" in words:
        return DeviceWriter("notrunc,fsync")
    if "notrunc" in words:
        return DeviceWriter("notrunc")
    if "folder" in words:
        return DeviceWriter("cat")
    return DeviceWriter("notrunc,fsync", certain=False)


def last_words(said: bytes) -> str:
    """Return the line in which `dd` complains, without its own name before it."""
    lines = [line for line in said.decode("utf-8", "replace").splitlines() if line.strip()]
    complaints = [line for line in lines if not re.match(r"\d+(\+\d+ records| bytes) ", line)]
    return (complaints or ["dd said nothing"])[0].removeprefix("dd: ")
