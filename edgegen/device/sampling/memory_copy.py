"""How fast a device's memory is: what decoding, which reads all weights for each token, is up
against.
"""

from __future__ import annotations

import re
import statistics
import sys

from edgegen.device.sampling.copy_script import DD, PYTHON
from edgegen.device.transports.failures import (
    CommandFailedError,
    DeviceTimeoutError,
    EndlessOutputError,
)
from edgegen.device.transports.interface import Command, Transport

_TIMEOUT_S = 60.0
_OUTPUT = 64 * 1024
_MIB = 1024**2
_TOLD = re.compile(
    r"edgegen-copy (memmove|dd) ([0-9]{1,4}) ([0-9]{1,15})"
    r"((?: [0-9]{1,20}(?:\.[0-9]{1,9})?){2,400})"
)
# Beyond these it is no memory that was measured, or no clock that measured it.
_PLAUSIBLE = (1e7, 1e14)


def copy_rate(transport: Transport) -> tuple[float, str] | None:
    """Measure how fast a device copies large blocks of memory, in two seconds or so.

    With Python there (this machine's own if it is this machine): copies between blocks much
    larger than the caches, one thread for each CPU; the rate counts bytes read and bytes written.
    Without: `dd` reads a file from the page cache, one for each CPU; the rate counts bytes read,
    since the buffer it reads to stays in a cache, and is a lower bound: the kernel looks up each
    page. The text says which.

    Returns:
        Bytes per second of the best pass, and how it was measured; `None` where nothing worked.

    Raises:
        DeviceError: the device cannot be reached.
    """
    python = sys.executable if transport.name == "local" else "python3"
    tried: tuple[Command, ...] = ((python, "-I", "-c", PYTHON), f"exec 2>/dev/null\n{DD}")
    for command in tried:
        try:
            said = transport.shell(command, timeout_s=_TIMEOUT_S, output_limit=_OUTPUT)
        except (CommandFailedError, DeviceTimeoutError, EndlessOutputError):
            continue
        if said.exit_code == 0 and (found := parse_copy(said.text)) is not None:
            return found
    return None


def parse_copy(text: str) -> tuple[float, str] | None:
    """Return rate and method from what a measuring script printed; `None` if it did not."""
    for line in text[:_OUTPUT].splitlines():
        if (told := _TOLD.fullmatch(line.strip())) is None:
            continue
        method, workers, size = told.group(1), int(told.group(2)), int(told.group(3))
        passes = _passes_s(told.group(4).split())
        moved = 2 * size if method == "memmove" else size * _MIB
        rates = [moved / pass_s for pass_s in passes]
        if not rates or not _PLAUSIBLE[0] < max(rates) < _PLAUSIBLE[1]:
            continue
        share = f"best of {len(rates)}, median {statistics.median(rates) / max(rates):.0%} of it"
        many = "s" if workers != 1 else ""
        if method == "memmove":
            how = f"memmove of {size // _MIB} MiB by {workers} thread{many}, read + written"
        else:
            how = (
                f"{workers} dd reading {size // 4 // max(workers, 1)} MiB each from the page "
                "cache, read only, a lower bound"
            )
        return max(rates), f"{how}; {share}"
    return None


def _passes_s(marks: list[str]) -> list[float]:
    """Return the time between each pair of clock readings, of those where the clock went on."""
    times = []
    for begun, ended in zip(marks[::2], marks[1::2], strict=False):
        if "." in begun and "." in ended:
            passed_s = float(ended) - float(begun)
        elif "." not in begun + ended:
            passed_s = (int(ended) - int(begun)) / 1e9
        else:
            continue
        if passed_s > 0:
            times.append(passed_s)
    return times
