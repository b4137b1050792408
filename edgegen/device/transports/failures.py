"""What can go wrong with a device, each with what to do about it.

All are `DeviceError`. `ConnectionLostError` and `DeviceTimeoutError` mean that the same call may
succeed once the device is back, and that a push then goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from edgegen.errors import DeviceError, did_you_mean

_MIB = 1024**2


def shown(text: str) -> str:
    """Return text of a device without the characters that could take over a terminal."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)


class _Failure(DeviceError):
    """Its text holds what a device said, and no more than can be shown."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(shown(message), None if hint is None else shown(hint))


class NoDeviceError(_Failure):
    """Nothing is connected."""

    def __init__(self, looked: Sequence[str]) -> None:
        super().__init__(
            f"no device found; looked at {', '.join(looked)}",
            "plug in a phone with USB debugging switched on, or name one: --device HOST:5555 "
            "for adb over a network, --device local for this machine",
        )


class SeveralDevicesError(_Failure):
    """More than one device is connected, and none was named.

    Attributes:
        serials: Their serial numbers.
    """

    def __init__(self, serials: Iterable[str]) -> None:
        self.serials = tuple(serials)
        super().__init__(
            f"{len(self.serials)} devices are connected: {', '.join(self.serials)}",
            f"name one: --device {self.serials[0]}, or export ANDROID_SERIAL={self.serials[0]}",
        )


class UnknownSerialError(_Failure):
    """The named device is not connected."""

    def __init__(self, serial: str, known: Sequence[str] | None) -> None:
        if known is None:  # nobody looked
            hint = "see what is there with edgegen devices; check the cable and USB debugging"
        elif known:
            hint = did_you_mean(serial, known)
        else:
            hint = "no other device is connected either; check the cable and USB debugging"
        super().__init__(f"no device '{serial}' is connected", hint)


class UnauthorizedError(_Failure):
    """The device does not know this computer's key."""

    def __init__(self, serial: str) -> None:
        super().__init__(
            f"{serial} has not authorized this computer",
            "look at the phone's screen and accept 'Allow USB debugging?', then run the command "
            "again; if nothing is shown, unplug it and plug it in again",
        )


class OfflineError(_Failure):
    """The device is known but does not answer."""

    def __init__(self, serial: str, state: str = "offline") -> None:
        super().__init__(
            f"{serial} is {state}",
            "wake the phone, or unplug it and plug it in again; over a network: "
            f"adb reconnect {serial}",
        )


class UsbPermissionError(_Failure):
    """The system does not let this user open the USB device."""

    def __init__(self, serial: str, vendor: int | None = None) -> None:
        match = (
            f'ATTR{{idVendor}}=="{vendor:04x}"'
            if vendor
            else 'ENV{ID_USB_INTERFACES}=="*:ff4201:*"'
        )
        rule = f'SUBSYSTEM=="usb", {match}, MODE="0660", GROUP="plugdev", TAG+="uaccess"'
        super().__init__(
            f"no permission to open {serial} on USB",
            f"put the line {rule} into /etc/udev/rules.d/51-android.rules, run "
            "'sudo udevadm control --reload && sudo udevadm trigger', and plug the phone in again",
        )


class UsbBusyError(_Failure):
    """Something else, mostly the adb server, holds the USB device."""

    def __init__(self, serial: str) -> None:
        super().__init__(
            f"another program holds {serial} on USB, most likely the adb server",
            "go through it: --transport adb-server; or stop it first: adb kill-server",
        )


class TlsRequiredError(_Failure):
    """The device wants an encrypted connection, which only adb itself speaks."""

    def __init__(self, serial: str) -> None:
        super().__init__(
            f"{serial} asks for TLS, as Android's wireless debugging does",
            f"pair and connect it with adb, then go through its server: adb pair HOST:PORT; "
            f"adb connect {serial}; and --transport adb-server",
        )


class NoServerError(_Failure):
    """No adb server answers."""

    def __init__(self, address: str, why: str) -> None:
        super().__init__(
            f"no adb server answers at {address}: {why}",
            "start one with 'adb start-server', or go without it: --transport adb-direct",
        )


class UnreachableError(_Failure):
    """Nothing listens at a network address."""

    def __init__(self, serial: str, why: str) -> None:
        super().__init__(
            f"cannot connect to {serial}: {why}",
            "check the address, and that the device listens there: adb tcpip 5555 over USB first",
        )


class MissingLibraryError(_Failure):
    """A library for a kind of device is not installed."""

    def __init__(self, library: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs {library}, which is not installed",
            "pip install 'edgegen[adb]', for USB without an adb server also 'adb-shell[usb]'",
        )


class ConnectionLostError(_Failure):
    """The connection broke in the middle of something."""

    def __init__(self, serial: str, why: str) -> None:
        super().__init__(
            f"lost the connection to {serial}: {why}",
            "check the cable or the network and run the command again; "
            "a push goes on where it stopped",
        )


class DeviceTimeoutError(_Failure):
    """The device did not answer, or not finish, in time."""

    def __init__(self, serial: str, what: str, seconds: float) -> None:
        super().__init__(
            f"{serial} {what} within {seconds:g} s",
            "see whether the device is busy or asleep, then run the command again",
        )


class CancelledError(_Failure):
    """The caller asked to stop."""

    def __init__(self, serial: str) -> None:
        super().__init__(f"stopped working with {serial}, as asked", None)


class ProtocolError(_Failure):
    """The device said something that the protocol does not allow."""

    def __init__(self, serial: str, found: str) -> None:
        super().__init__(
            f"{serial} broke the adb protocol: {found}",
            "reconnect it; if it happens again, its adbd is not one to trust",
        )


class OutOfSpaceError(_Failure):
    """The device's disk is too full."""

    def __init__(self, serial: str, folder: str, needed: int, free: int) -> None:
        super().__init__(
            f"{folder} on {serial} has too little space: {_mib(needed)} are needed, "
            f"{_mib(free)} are free",
            f"remove files there (edgegen shell -- ls -la {folder}), or choose another folder "
            "with --to",
        )


class ReadOnlyTargetError(_Failure):
    """The target cannot be written."""

    def __init__(self, serial: str, path: str, why: str) -> None:
        super().__init__(
            f"cannot write {path} on {serial}: {why}",
            "choose another folder with --to; /data/local/tmp is writable on Android",
        )


class UnreadableError(_Failure):
    """The device lets nobody read there."""

    def __init__(self, serial: str, path: str, why: str) -> None:
        super().__init__(
            f"cannot read {path} on {serial}: {why}",
            "copy it to where the shell may read it, such as /data/local/tmp; an app's own files "
            "need run-as",
        )


class DeviceFileError(_Failure):
    """A file on the device is missing, of the wrong kind, or cannot be read."""

    def __init__(self, serial: str, path: str, why: str) -> None:
        super().__init__(
            f"{path} on {serial}: {why}", "list the folder with edgegen shell -- ls -l"
        )


class PathRefusedError(_Failure):
    """A path leaves the folder it must stay in, or cannot be a path at all."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"refused the path {path!r}: {why}", "name a file below the chosen folder")


class CommandFailedError(_Failure):
    """A command on the device failed that must not."""

    def __init__(self, serial: str, command: str, exit_code: int | None, said: str) -> None:
        ended = "ended without an exit code" if exit_code is None else f"ended with {exit_code}"
        super().__init__(
            f"'{command}' on {serial} {ended}: {said or 'it said nothing'}",
            "run it by hand with edgegen shell to see more",
        )


class NoRawInputError(_Failure):
    """The device has no service that takes bytes as they are."""

    def __init__(self, serial: str) -> None:
        super().__init__(
            f"{serial} is too old to take input for a command",
            "push files to it instead; they start anew where a connection breaks",
        )


class CorruptedError(_Failure):
    """What arrived is not what was sent."""

    def __init__(self, serial: str, path: str, found: str, expected: str) -> None:
        super().__init__(
            f"{path} on {serial} has the hash {found}, expected {expected}",
            "run the push again: it keeps what is right and sends the rest; if it happens again, "
            "try another cable",
        )


class TargetBusyError(_Failure):
    """Another push writes the same file."""

    def __init__(self, serial: str, target: str, lock: str) -> None:
        super().__init__(
            f"another push to {target} on {serial} is under way",
            f"wait until it has ended; if there is none, remove {lock} there",
        )


class UnexpectedError(_Failure):
    """Something that should not happen; it ends the work with one device only."""

    def __init__(self, serial: str, error: BaseException) -> None:
        super().__init__(
            f"the work with {serial} ended with {type(error).__name__}: {error}",
            "this is a fault of edgegen: please report it",
        )


class SourceChangedError(_Failure):
    """A file changed while it was pushed."""

    def __init__(self, path: str) -> None:
        super().__init__(
            f"{path} changed while it was pushed", "run the push again once the file is finished"
        )


class EndlessOutputError(_Failure):
    """The device sends more than anybody asked for."""

    def __init__(self, serial: str, what: str, limit: int) -> None:
        super().__init__(
            f"{serial} sent more than {limit} bytes as {what}",
            "stream it instead, or ask for less",
        )


def file_failure(serial: str, path: str, why: str, *, reading: bool = False) -> DeviceError:
    """Return the error for what a device said about a path that we read, or else write."""
    lowered = why.lower()
    if reading:
        kind = UnreadableError if "permission denied" in lowered else DeviceFileError
        return kind(serial, path, why)
    if "no space left" in lowered or "disk quota exceeded" in lowered:
        folder = path.rpartition("/")[0] or "/"
        return DeviceFullError(serial, folder)
    if "read-only file system" in lowered or "permission denied" in lowered:
        return ReadOnlyTargetError(serial, path, why)
    return DeviceFileError(serial, path, why)


class DeviceFullError(OutOfSpaceError):
    """The device's disk became full while writing."""

    def __init__(self, serial: str, folder: str) -> None:
        _Failure.__init__(
            self,
            f"{folder} on {serial} is full",
            f"remove files there (edgegen shell -- ls -la {folder}), or choose another folder "
            "with --to; nothing was left under the final name",
        )


def _mib(nbytes: int) -> str:
    return f"{nbytes / _MIB:.1f} MiB"
