"""`dumpsys battery`: charge, what feeds the device, and the battery's voltage and heat."""

from __future__ import annotations

import re
from dataclasses import dataclass

from edgegen.device.description import parse_battery
from edgegen.device.sampling.dumpsys.lines import lines_of

# Some makers append logs with the same words; only lines that are indented by two count.
_LINE = re.compile(r"  ([A-Za-z][A-Za-z ]{0,40}): (\S{1,40})[ \t]*")
_WHOLE = re.compile(r"-?[0-9]{1,12}")


@dataclass(frozen=True)
class Battery:
    """What the battery service tells; what it does not is `None`.

    Attributes:
        percent: Charge.
        charging: Whether it is being charged, or full and fed.
        plugged: Whether a plug or a pad feeds the device, be the battery charged or not.
        celsius: The battery's temperature.
        millivolts: Its voltage.
    """

    percent: float | None
    charging: bool | None
    plugged: bool | None
    celsius: float | None
    millivolts: int | None


def parse_battery_service(text: str) -> Battery:
    """Read what `dumpsys battery` prints."""
    values: dict[str, str] = {}
    for line in lines_of(text):
        if (found := _LINE.fullmatch(line)) is not None:
            values.setdefault(found.group(1), found.group(2))
    feeds = [value for key, value in values.items() if key.endswith("powered")]
    plugged = {"true", "false"} >= set(feeds) and "true" in feeds if feeds else None
    percent, charging = parse_battery("\n".join(lines_of(text)))
    tenths, millivolts = _whole(values.get("temperature")), _whole(values.get("voltage"))
    return Battery(
        percent=percent,
        charging=charging,
        plugged=plugged,
        celsius=None if tenths is None else tenths / 10,
        millivolts=millivolts,
    )


def _whole(text: str | None) -> int | None:
    return int(text) if text is not None and _WHOLE.fullmatch(text) else None
