"""Ways to a device: adb without a server, adb's server, this machine."""

from __future__ import annotations

from edgegen.device.transports.choose import TRANSPORTS, Candidate, connect, list_candidates
from edgegen.device.transports.interface import (
    FileStat,
    FolderEntry,
    ShellOutput,
    ShellResult,
    ShellStream,
    Transport,
)

__all__ = [
    "TRANSPORTS",
    "Candidate",
    "FileStat",
    "FolderEntry",
    "ShellOutput",
    "ShellResult",
    "ShellStream",
    "Transport",
    "connect",
    "list_candidates",
]
