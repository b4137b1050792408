"""Which device, and which way to it."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass

from edgegen.device.transports import adb_direct, adb_server, local
from edgegen.device.transports.adb_keys import load_keys
from edgegen.device.transports.failures import (
    NoDeviceError,
    NoServerError,
    SeveralDevicesError,
    UnknownSerialError,
)
from edgegen.device.transports.interface import Transport
from edgegen.errors import DeviceError, did_you_mean

# What `--transport` takes besides "auto".
TRANSPORTS = ("adb-direct", "adb-server", "local")


@dataclass(frozen=True)
class Candidate:
    """A device that could be connected to.

    Attributes:
        serial: Its serial number or address.
        transport: The way to it, one of `TRANSPORTS`.
        state: `device` if it can be used, else why not.
        reason: Why this way.
    """

    serial: str
    transport: str
    state: str
    reason: str


def connect(
    serial: str | None = None,
    *,
    transport: str = "auto",
    environment: Mapping[str, str] | None = None,
    cancel: threading.Event | None = None,
) -> Transport:
    """Connect to a device.

    Args:
        serial: A serial number, `HOST:PORT`, or `local` for this machine; by default
            `ANDROID_SERIAL`, else the one device there is.
        transport: One of `TRANSPORTS`, or `auto`: an adb server that runs and knows the device,
            else adb without one.
        environment: In place of `os.environ`.
        cancel: Set it from another thread to stop connecting.

    Returns:
        The device; its `name` is the transport and its `reason` why that was chosen.

    Raises:
        DeviceError: no device, several, or one that cannot be used; each says what to do.
    """
    environment = os.environ if environment is None else environment
    if transport != "auto" and transport not in TRANSPORTS:
        raise DeviceError(
            f"unknown transport '{transport}'", did_you_mean(transport, ("auto", *TRANSPORTS))
        )
    named = serial or environment.get("ANDROID_SERIAL") or None
    if transport == "local" and serial not in (None, local.SERIAL):
        raise DeviceError(
            f"'{serial}' is not this machine, which is all that --transport local reaches",
            "leave --transport out, or the device",
        )
    if transport == "local" or (named == local.SERIAL and transport == "auto"):
        return _reasoned(local.Local(), "asked for" if transport == "local" else "named so")
    chosen = _choose(named, transport, environment)
    if chosen.transport == "adb-server":
        address = adb_server.server_address(environment)
        return _reasoned(adb_server.AdbServer(chosen.serial, address=address), chosen.reason)
    keys = functools.partial(load_keys, environment)
    return _reasoned(adb_direct.AdbDirect(chosen.serial, keys=keys, cancel=cancel), chosen.reason)


def list_candidates(
    *, transport: str = "auto", environment: Mapping[str, str] | None = None
) -> list[Candidate]:
    """Return the devices that are there, but for this machine.

    A device that both an adb server and USB show is listed once, by the server.
    """
    environment = os.environ if environment is None else environment
    found: dict[str, Candidate] = {}
    if transport in ("auto", "adb-server"):
        for candidate in _at_server(environment, needed=transport == "adb-server"):
            found[candidate.serial] = candidate
    if transport in ("auto", "adb-direct"):
        served = any(not adb_direct.is_address(serial) for serial in found)
        for device in adb_direct.usb_devices() or ():
            if device.serial is None and served:
                continue  # most likely what the server has listed
            state = "no permissions" if device.serial is None else "device"
            reason = "on USB, and no adb server holds it"
            found.setdefault(device.name, Candidate(device.name, "adb-direct", state, reason))
    named = environment.get("ANDROID_SERIAL", "")
    if transport != "adb-server" and adb_direct.is_address(named):
        reason = "ANDROID_SERIAL is an address"
        found.setdefault(named, Candidate(named, "adb-direct", "device", reason))
    return list(found.values())


def _choose(named: str | None, transport: str, environment: Mapping[str, str]) -> Candidate:
    if named is not None and transport != "auto":
        return Candidate(named, transport, "device", "asked for")
    candidates = list_candidates(transport=transport, environment=environment)
    if named is not None:
        for candidate in candidates:
            if candidate.serial == named:
                return candidate
        if adb_direct.is_address(named):
            reason = "an address that no adb server holds"
            return Candidate(named, "adb-direct", "device", reason)
        if candidates:
            raise UnknownSerialError(named, [candidate.serial for candidate in candidates])
    if not candidates:
        raise NoDeviceError(_looked(transport, environment))
    usable = [candidate for candidate in candidates if candidate.state == "device"]
    if len(usable) == 1:
        return usable[0]
    if usable:
        raise SeveralDevicesError(candidate.serial for candidate in usable)
    if len(candidates) > 1:
        raise SeveralDevicesError(candidate.serial for candidate in candidates)
    return candidates[0]  # connecting to it says what is wrong


def _at_server(environment: Mapping[str, str], *, needed: bool) -> list[Candidate]:
    host, port = adb_server.server_address(environment)
    try:
        devices = adb_server.list_devices((host, port))
    except NoServerError:
        if needed:
            raise
        return []
    reason = f"the adb server at {host}:{port} holds it"
    return [Candidate(device.serial, "adb-server", device.state, reason) for device in devices]


def _looked(transport: str, environment: Mapping[str, str]) -> list[str]:
    host, port = adb_server.server_address(environment)
    places = {"adb-server": f"the adb server at {host}:{port}", "adb-direct": "USB"}
    if adb_direct.usb_devices() is None:
        places["adb-direct"] = "not USB, for libusb1 is not installed"
    return [place for name, place in places.items() if transport in ("auto", name)]


def _reasoned(connected: Transport, reason: str) -> Transport:
    connected.reason = reason
    return connected
