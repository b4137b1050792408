"""Being asked to end, by whatever signal, as one exception: what was begun is cleaned up."""

from __future__ import annotations

import contextlib
import math
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_UNTOUCHED = (signal.SIG_DFL, signal.default_int_handler)
_REPEAT_S = 2.0


class Ended(KeyboardInterrupt):
    """A signal asked the program to end.

    Attributes:
        number: Which.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextlib.contextmanager
def signals_raise() -> Iterator[None]:
    """Raise `Ended` in the block when a signal asks this process to end.

    A signal that is ignored (`nohup`) or handled by an embedder stays so. One that follows
    within two seconds of another is passed over: an impatient hand, or a terminal that closes
    and says so twice, must not cut the cleaning up short. One that comes later ends that, too.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may, and it alone is interrupted
        return
    raised_at = -math.inf

    def end(number: int, frame: FrameType | None) -> None:
        nonlocal raised_at
        now = time.monotonic()
        if now - raised_at >= _REPEAT_S:
            raised_at = now
            raise Ended(number)

    before = {n: signal.getsignal(n) for n in _SIGNALS if signal.getsignal(n) in _UNTOUCHED}
    for number in before:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
