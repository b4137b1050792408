"""The device: where it listens, what it is, and what can be done to it."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType

from edgegen.device.testing.authorization import Authorization
from edgegen.device.testing.connection import Connection
from edgegen.device.testing.faults import Faults
from edgegen.device.testing.scripted import (
    DUMPSYS,
    PROPERTIES,
    free_space_stat,
    full_disk_dd,
    write_program,
    write_programs,
)
from edgegen.device.transports import wire

# What Android 15 announces, but for compression and what no client here asks for.
ANDROID_FEATURES = (
    wire.SHELL_V2,
    "cmd",
    wire.STAT_V2,
    wire.LS_V2,
    wire.SENDRECV_V2,
    "fixed_push_mkdir",
    "fixed_push_symlink_timestamp",
)

_MOUNTS = ("/data/local/tmp", "/sdcard")
# Where a path begins: not in the middle of another one.
_MOUNT = re.compile(rf"(?<![\w./-])(?:{'|'.join(_MOUNTS)})(?![\w.-])")


class Adbd:
    """An adbd on 127.0.0.1.

    Its `/data/local/tmp` and `/sdcard` lie below `root`, also where a command names them; all
    other paths are those of this machine. Transfers reach nothing outside `root`, which commands
    start in. Commands run as the user who runs this, so let in hosts that you trust.

    Args:
        root: The folder that holds the device's files.
        port: Where to listen; 0 for any that is free.
        features: What to announce; `()` is an old device, which speaks the first versions only.
        properties: What `getprop` knows.
        dumpsys: What `dumpsys` says of each service.
        commands: Scripts of further commands, by name.
        missing: Names of commands that it shall not have.
        authorized_keys: Public keys to let in, `None` for everybody.
        accept_new_keys: Whether its user accepts a new key at once.
        version: Protocol version; 0x01000000 wants checksums.
        payload_bytes: The longest payload to take.
        window_bytes: How much the system takes from the network before we read it.
        refused_services: Services that it does not have, such as `exec`.
        terminal_line_ends: Whether `shell:` makes CR LF of line ends, as before Android 7.
        reported_free_bytes: The free space that it tells of, if not the disk's.

    Attributes:
        serial: Its address, for `adb connect`.
        faults: What it shall do wrong.
        listed_names: If set, what any folder is said to hold.
    """

    def __init__(
        self,
        root: str | Path,
        *,
        port: int = 0,
        features: Iterable[str] = ANDROID_FEATURES,
        properties: Mapping[str, str] = PROPERTIES,
        dumpsys: Mapping[str, str] = DUMPSYS,
        commands: Mapping[str, str] | None = None,
        missing: Iterable[str] = (),
        authorized_keys: Iterable[Path | str] | None = None,
        accept_new_keys: bool = False,
        version: int = wire.VERSION,
        payload_bytes: int = wire.MAX_PAYLOAD,
        window_bytes: int | None = None,
        refused_services: Iterable[str] = (),
        terminal_line_ends: bool = False,
        reported_free_bytes: int | None = None,
    ) -> None:
        self.root = Path(root).resolve()
        if not re.fullmatch(r"[\w./+@:-]+", str(self.root)):
            raise ValueError(f"{self.root} has characters that mean something to a shell")
        for name in _MOUNTS:
            (self.root / name.lstrip("/")).mkdir(parents=True, exist_ok=True)
        self.faults = Faults()
        self.authorization = Authorization(authorized_keys, accept_new=accept_new_keys)
        self.version, self.payload_bytes = version, payload_bytes
        self.refused_services = frozenset(refused_services)
        self.terminal_line_ends = terminal_line_ends
        self.listed_names: list[str] | None = None
        self.processes: set[subprocess.Popen[bytes]] = set()
        product = "".join(
            f"{key}={properties.get(key, '')};"
            for key in ("ro.product.name", "ro.product.model", "ro.product.device")
        )
        self.banner = f"device::{product}features={','.join(features)}"
        self._programs = tempfile.TemporaryDirectory(prefix="edgegen-adbd-")
        self._folder = Path(self._programs.name)
        write_programs(
            self._folder,
            properties=properties,
            dumpsys=dumpsys,
            commands=commands or {},
            missing=missing,
        )
        if reported_free_bytes is not None:
            program = free_space_stat(reported_free_bytes, shutil.which("stat") or "stat")
            write_program(self._folder, "stat", program)
        self.environment = {
            **os.environ,
            "PATH": f"{self._folder}:{os.environ.get('PATH', os.defpath)}",
            "HOME": str(self.root),
            "LC_ALL": "C",
        }
        self._window_bytes = window_bytes
        self._connections: dict[Connection, threading.Thread] = {}
        self._lock = threading.Lock()
        self._closing = False
        self._down_until = 0.0
        self._socket = self._listen(port)
        self.port: int = self._socket.getsockname()[1]
        self.serial = f"127.0.0.1:{self.port}"
        self._accepting = threading.Thread(target=self._accept, name="adbd", daemon=True)
        self._accepting.start()

    def here(self, text: str) -> str:
        """Return a path or a command with this machine's names for the device's folders."""
        return _MOUNT.sub(lambda found: f"{self.root}{found.group()}", text)

    def fill_disk(self, free: int) -> None:
        """Leave `free` bytes on the disk, whatever the device tells of it."""
        self.faults.disk_bytes = free
        write_program(self._folder, "dd", full_disk_dd(free, shutil.which("dd") or "dd"))

    def empty_disk(self) -> None:
        """Take back `fill_disk`."""
        self.faults.disk_bytes = None
        (self._folder / "dd").unlink(missing_ok=True)

    def disconnect(self) -> None:
        """Break all connections, as a cable that falls out does."""
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            connection.drop()

    def revoke(self) -> None:
        """Forget all keys, as 'Revoke USB debugging authorizations' does."""
        self.authorization.revoke()
        self.disconnect()

    def reboot(self, down_s: float = 0.5) -> None:
        """End all commands and connections, and accept none for a while."""
        self._down_until = time.monotonic() + down_s
        self._kill()
        self.disconnect()

    def close(self) -> None:
        """Stop, with all that runs."""
        self._closing = True
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._accepting.join()
        self._kill()
        self.disconnect()
        for thread in list(self._connections.values()):
            thread.join()
        self._programs.cleanup()

    def __enter__(self) -> Adbd:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _listen(self, port: int) -> socket.socket:
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self._window_bytes is not None:  # connections inherit it
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._window_bytes)
        listening.bind(("127.0.0.1", port))
        listening.listen()
        return listening

    def _accept(self) -> None:
        while not self._closing:
            try:
                connected, _ = self._socket.accept()
            except OSError:
                return
            if self._closing or time.monotonic() < self._down_until:
                connected.close()
                continue
            connection = Connection(self, connected)
            thread = threading.Thread(
                target=self._serve, args=(connection,), name="adbd-connection", daemon=True
            )
            with self._lock:
                self._connections[connection] = thread
            thread.start()

    def _serve(self, connection: Connection) -> None:
        try:
            connection.serve()
        finally:
            with self._lock:
                self._connections.pop(connection, None)

    def _kill(self) -> None:
        for process in list(self.processes):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
