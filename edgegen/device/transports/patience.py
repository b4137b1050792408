"""How long to wait for a device, and when to stop."""

from __future__ import annotations

import threading
import time

from edgegen.device.transports.failures import CancelledError, DeviceTimeoutError

_SLICE_S = 0.2  # how late a cancellation may be noticed


class Patience:
    """Three reasons to stop waiting: too long in all, too long without a sign, told to.

    Args:
        serial: The device, for messages.
        timeout_s: Longest time in all, in seconds; `None` for no limit.
        silence_s: Longest time without a byte from or to the device; `None` for no limit.
        cancel: Set by whoever no longer wants the result.
    """

    def __init__(
        self,
        serial: str,
        *,
        timeout_s: float | None = None,
        silence_s: float | None = None,
        cancel: threading.Event | None = None,
    ) -> None:
        self._serial = serial
        self._timeout_s, self._silence_s, self._cancel = timeout_s, silence_s, cancel
        self._began = self._heard = time.monotonic()

    def allow_silence(self, silence_s: float | None) -> None:
        """Wait so long for the next sign of life from now on."""
        self._silence_s = silence_s
        self.heard()

    def heard(self) -> None:
        """Note a sign of life."""
        self._heard = time.monotonic()

    def wait_s(self) -> float:
        """Return how long to wait before asking again, in seconds.

        Raises:
            CancelledError: somebody wants us to stop.
            DeviceTimeoutError: it has taken too long.
        """
        if self._cancel is not None and self._cancel.is_set():
            raise CancelledError(self._serial)
        now = time.monotonic()
        wait = _SLICE_S
        if self._timeout_s is not None:
            left = self._began + self._timeout_s - now
            if left <= 0:
                raise DeviceTimeoutError(self._serial, "did not finish", self._timeout_s)
            wait = min(wait, left)
        if self._silence_s is not None:
            left = self._heard + self._silence_s - now
            if left <= 0:
                raise DeviceTimeoutError(self._serial, "said nothing", self._silence_s)
            wait = min(wait, left)
        return wait
