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
        self._outer: Patience | None = None
        self._main: Patience | None = None
        self._only_progress = False

    def within(self, timeout_s: float) -> Patience:
        """Return a patience for a part of the work: with a limit of its own, and all of ours."""
        inner = Patience(self._serial, timeout_s=timeout_s)
        inner._outer = self
        return inner

    def aside(self) -> Patience:
        """Return a patience for a word in between: our limits, but its progress is not ours."""
        word = Patience(self._serial, silence_s=self._silence_s, cancel=self._cancel)
        word._main = self
        if self._timeout_s is not None:
            word._timeout_s, word._began = self._timeout_s, self._began
        return word

    def expect_progress(self) -> None:
        """Count as a sign of life only what the device takes: it may not chatter instead."""
        self._only_progress = True

    def finish_within(self, seconds: float) -> None:
        """Wait no longer than that from now on, whatever the device says."""
        self._timeout_s, self._silence_s = seconds, None
        self._began = time.monotonic()

    def heard(self) -> None:
        """Note that the device said something."""
        if not self._only_progress:
            self.progressed()

    def progressed(self) -> None:
        """Note that the device took something."""
        self._heard = time.monotonic()
        if self._outer is not None:
            self._outer.progressed()

    def share(self, other: Patience) -> None:
        """Note what another has noted that waits for the same device."""
        self._heard = max(self._heard, other._heard)
        if self._main is not None:
            self._main.share(other)

    def wait_s(self) -> float:
        """Return how long to wait before asking again, in seconds.

        Raises:
            CancelledError: somebody wants us to stop.
            DeviceTimeoutError: it has taken too long.
        """
        if self._cancel is not None and self._cancel.is_set():
            raise CancelledError(self._serial)
        now = time.monotonic()
        wait = _SLICE_S if self._outer is None else self._outer.wait_s()
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
