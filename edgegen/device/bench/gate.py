"""The thermal gate: a run begins on a device that is cool, or not at all."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from edgegen.device.bench.record import Conditions, Failure

_LOOK_S = 5.0  # between two looks at the device


@dataclass(frozen=True)
class Gate:
    """When a run may begin.

    Attributes:
        cooldown_s: Rest before each run but the first.
        max_celsius: No zone may be hotter; `None` for no such limit.
        wait_s: Longest time to wait for that, and for Android's thermal status `none`.
    """

    cooldown_s: float = 0.0
    max_celsius: float | None = None
    wait_s: float = 300.0

    def wait(
        self,
        conditions: Callable[[], Conditions],
        *,
        rest: bool,
        cancel: threading.Event,
        look_s: float = _LOOK_S,
    ) -> tuple[Conditions, Failure | None]:
        """Rest, then wait until the device is cool.

        Returns:
            The device's state, with the time that was waited, and why no run may begin.
        """
        waited_s, deadline = 0.0, time.monotonic() + self.wait_s
        if rest and self.cooldown_s:
            waited_s += _pause(self.cooldown_s, cancel)
            deadline += waited_s
        while True:
            now = conditions()
            hot = self.too_hot(now)
            found = replace(now, waited_s=waited_s)
            if hot is None or cancel.is_set():
                return found, None
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                return found, Failure(
                    "too_hot",
                    f"the device was not cool after {self.wait_s:g} s: {hot}",
                    "let it rest away from sun and charger and run the command again; "
                    "--thermal-wait allows more time",
                )
            waited_s += _pause(min(look_s, left_s), cancel)

    def too_hot(self, found: Conditions) -> str | None:
        """Return what is too hot, `None` if nothing is or nobody tells."""
        if found.thermal_status_before not in (None, "none"):
            return f"thermal status {found.thermal_status_before}, expected none"
        celsius = found.start_celsius
        if self.max_celsius is not None and celsius is not None and celsius > self.max_celsius:
            return f"{celsius:g} °C, expected at most {self.max_celsius:g} °C"
        return None

    def blind(self, found: Conditions) -> str | None:
        """Return what the gate was to look at and the device does not tell."""
        if self.max_celsius is not None and found.start_celsius is None:
            return "the device tells no temperature, so the limit was not looked at"
        return None


def _pause(seconds: float, cancel: threading.Event) -> float:
    """Wait, but not longer than until `cancel` is set; return how long."""
    started = time.monotonic()
    cancel.wait(seconds)
    return time.monotonic() - started
