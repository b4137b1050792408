"""The RSA keys by which a device knows this computer: adb's own, in `~/.android`."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, cast

from edgegen.device.transports.failures import MissingLibraryError
from edgegen.errors import DeviceError


class Signer(Protocol):
    """A private key, as adb-shell has it."""

    def Sign(self, data: bytes) -> bytes:
        """Return the signature of a token."""

    def GetPublicKey(self) -> bytes:
        """Return the public key in adb's own format."""


def load_keys(environment: Mapping[str, str] | None = None) -> list[Signer]:
    """Return the user's keys, the standard one first; it is made where there is none.

    As adb does: `$HOME/.android/adbkey`, then those that `ADB_VENDOR_KEYS` names.

    Raises:
        DeviceError: a key cannot be read or written.
        MissingLibraryError: adb-shell is not installed.
    """
    environment = os.environ if environment is None else environment
    try:
        from adb_shell.auth.sign_cryptography import (  # type: ignore[import-untyped]
            CryptographySigner,
        )
    except ImportError as error:
        raise MissingLibraryError("adb-shell", "adb") from error
    standard = standard_key(environment)
    if not standard.exists():
        make_key(standard)
    signers = []
    for path in (standard, *_vendor_keys(environment)):
        try:
            if not public_half(path).exists():
                _write_public_half(path)
            signers.append(cast(Signer, CryptographySigner(str(path))))
        except (OSError, ValueError, TypeError) as error:
            raise DeviceError(
                f"the adb key {path} cannot be used: {error}",
                f"move it and {path}.pub away, and a new pair is made; or repair it with "
                f"adb pubkey {path} > {path}.pub",
            ) from error
    return signers


def standard_key(environment: Mapping[str, str]) -> Path:
    """Return where adb keeps this user's private key."""
    home = environment.get("ANDROID_USER_HOME")
    if home:
        return Path(home) / "adbkey"
    return Path(environment.get("HOME") or Path.home()) / ".android" / "adbkey"


def public_half(path: Path) -> Path:
    """Return where the public key of a private one is."""
    return path.with_name(path.name + ".pub")


def make_key(path: Path) -> None:
    """Make a key pair: the private key readable by its owner alone, from its first byte on.

    Raises:
        DeviceError: it cannot be written.
    """
    from adb_shell.auth.keygen import keygen  # type: ignore[import-untyped]

    try:
        path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".adbkey-", dir=path.parent) as folder:
            made = Path(folder) / "adbkey"
            os.close(os.open(made, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            keygen(str(made))
            # A link, so that of two who do this at once one wins; and the private key first, for
            # the public one can be made of it.
            os.link(made, path)
            made.with_name("adbkey.pub").replace(public_half(path))
    except FileExistsError:
        return
    except OSError as error:
        raise DeviceError(
            f"cannot write the adb key {path}: {error.strerror}",
            "make the folder writable, or set ANDROID_USER_HOME to another",
        ) from error


def _vendor_keys(environment: Mapping[str, str]) -> list[Path]:
    found = []
    for name in filter(None, environment.get("ADB_VENDOR_KEYS", "").split(os.pathsep)):
        path = Path(name)
        found += sorted(path.glob("*.adb_key")) if path.is_dir() else [path]
    return [path for path in found if path.is_file()]


def _write_public_half(path: Path) -> None:
    from adb_shell.auth.keygen import write_public_keyfile

    with tempfile.TemporaryDirectory(prefix=".adbkey-", dir=path.parent) as folder:
        made = Path(folder) / "adbkey.pub"
        write_public_keyfile(str(path), str(made))
        made.replace(public_half(path))
