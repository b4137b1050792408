"""Keeping to one folder of a device."""

from __future__ import annotations

import posixpath
import threading

from edgegen.device.transports.failures import PathRefusedError
from edgegen.device.transports.interface import Transport, checked

_NAME_MAX = 255


def confined(root: str, name: str) -> str:
    """Return the path of a name below a folder.

    Args:
        root: The folder.
        name: Relative to it, or absolute and below it.

    Raises:
        PathRefusedError: it leads out of the folder, or is no file's name.
    """
    top = posixpath.normpath(checked(root))
    if "\n" in name or "\r" in name:
        raise PathRefusedError(name, "it goes over several lines")
    path = posixpath.normpath(checked(posixpath.join(top, name)))
    if path == top or not path.startswith(top.rstrip("/") + "/"):
        raise PathRefusedError(name, f"it leads out of {root}")
    if len(posixpath.basename(path).encode("utf-8", "surrogateescape")) > _NAME_MAX:
        raise PathRefusedError(name, f"its name is longer than {_NAME_MAX} bytes")
    return path


def refuse_links(
    transport: Transport, root: str, path: str, cancel: threading.Event | None = None
) -> None:
    """Raise `PathRefusedError` if a part of `path` below `root` is a symbolic link.

    It could lead anywhere, whatever the path looks like.
    """
    top = posixpath.normpath(root).rstrip("/")
    reached = top
    for part in path.removeprefix(top + "/").split("/"):
        reached = f"{reached}/{part}"
        found = transport.stat(reached, cancel=cancel)
        if found is None:
            return
        if found.is_link:
            raise PathRefusedError(path, f"{reached} is a link, which may lead out of {root}")
