"""Runners: the ways to measure a bundle, by name."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from edgegen.device.runners.options import RunnerOptions
from edgegen.errors import DeviceError, did_you_mean

if TYPE_CHECKING:
    from edgegen.device.runners.interface import Runner
    from edgegen.device.transports.interface import Transport

# To add a runner: write its module beside `host.py` and name it here. It offers
# `open(transport, options) -> Runner`; what it measures on is a device behind a transport.
RUNNERS: dict[str, str] = {
    "host": "edgegen.device.runners.host",
    "litert-lm": "edgegen.device.runners.litert_lm",
    "app": "edgegen.device.runners.app",
    "board": "edgegen.device.runners.board",
}
HOST = "host"
# What measures on a device, unless another is named.
DEFAULT_RUNNER = "litert-lm"


def runner_for(device: str, name: str | None = None) -> str:
    """Return which runner measures on a device.

    Raises:
        DeviceError: there is no such runner, or it does not run there.
    """
    if name is not None and name not in RUNNERS:
        raise DeviceError(f"unknown runner '{name}'", did_you_mean(name, RUNNERS))
    if device == HOST:
        if name not in (None, HOST):
            raise DeviceError(
                f"the runner {name} measures on a device, and 'host' is this machine",
                "name a device, as edgegen devices lists them, or leave --runner out",
            )
        return HOST
    if name == HOST:
        raise DeviceError(
            f"the runner host measures on this machine, and not on '{device}'",
            "leave --runner out, or the device",
        )
    return name or DEFAULT_RUNNER


def open_runner(
    name: str, transport: Transport | None, options: RunnerOptions | None = None
) -> Runner:
    """Open a runner; close it after use, as with a `with` block.

    Args:
        name: A key of `RUNNERS`.
        transport: The device; `None` for `host`.
        options: What the user says to it.

    Raises:
        DeviceError: the device or the engine cannot be used.
    """
    module = importlib.import_module(RUNNERS[name])
    opened: Runner = module.open(transport, options or RunnerOptions())
    return opened


__all__ = ["DEFAULT_RUNNER", "HOST", "RUNNERS", "RunnerOptions", "open_runner", "runner_for"]
