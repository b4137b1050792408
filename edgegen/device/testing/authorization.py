"""Which hosts a device lets in: RSA public keys in adb's own format."""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Iterable
from pathlib import Path

# Words of the modulus, -1 / n[0] mod 2^32, modulus, R^2 (both little-endian), exponent: AOSP's
# system/core/libcrypto_utils/android_pubkey.cpp.
_STRUCT = struct.Struct("<II256s256sI")
TOKEN_BYTES = 20


class Authorization:
    """The keys that a device knows.

    Args:
        keys: Public keys: files as adb writes them, or their content; `None` lets everybody in.
        accept_new: Whether the user who is asked for a new key says yes at once.

    Attributes:
        waiting: Keys that the user is being asked about.
    """

    def __init__(self, keys: Iterable[Path | str] | None, *, accept_new: bool = False) -> None:
        self.required = keys is not None
        self.accept_new = accept_new
        self.waiting: list[str] = []
        self._known = {_encoded(key) for key in keys or ()}

    def verify(self, token: bytes, signature: bytes) -> bool:
        """Tell whether a known key made the signature, as adbd checks it.

        The token stands where a SHA-1 digest would, as PKCS #1 1.5 has it.
        """
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import padding, rsa, utils

        for known in self._known:
            numbers = _numbers(known)
            key = rsa.RSAPublicNumbers(*numbers).public_key()
            try:
                key.verify(signature, token, padding.PKCS1v15(), utils.Prehashed(hashes.SHA1()))
            except InvalidSignature:
                continue
            return True
        return False

    def offer(self, key: bytes) -> bool:
        """Take a key that a host offers; tell whether it is let in at once."""
        try:
            encoded = _encoded(key.rstrip(b"\0").decode("ascii"))
        except ValueError:
            return False
        if self.accept_new:
            self._known.add(encoded)
            return True
        self.waiting.append(encoded)
        return False

    def accept(self) -> None:
        """Say yes to all keys that wait."""
        self._known.update(self.waiting)
        self.waiting.clear()

    def revoke(self) -> None:
        """Forget all keys."""
        self._known.clear()
        self.accept_new = False


def _encoded(key: Path | str) -> str:
    """Return the base64 part of a key, checked."""
    text = key.read_text("ascii") if isinstance(key, Path) else key
    encoded = text.split()[0] if text.split() else ""
    _numbers(encoded)
    return encoded


def _numbers(encoded: str) -> tuple[int, int]:
    """Return exponent and modulus.

    Raises:
        ValueError: it is no key of adb's.
    """
    try:
        fields = _STRUCT.unpack(base64.b64decode(encoded, validate=True))
    except (struct.error, binascii.Error) as error:
        raise ValueError(f"no adb public key: {encoded[:20]!r}") from error
    return fields[4], int.from_bytes(fields[2], "little")
