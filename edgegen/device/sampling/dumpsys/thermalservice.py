"""`dumpsys thermalservice`: temperatures as the thermal HAL names them, and the status."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from edgegen.device.description import parse_thermal
from edgegen.device.sampling.dumpsys.lines import decimal, lines_of
from edgegen.device.sampling.peaks import is_temperature

# android.os.Temperature; of the battery's limits (BCL) the number is no temperature.
KINDS = {
    0: "cpu",
    1: "gpu",
    2: "battery",
    3: "skin",
    4: "usb_port",
    5: "power_amplifier",
    6: "bcl_voltage",
    7: "bcl_current",
    8: "bcl_percentage",
    9: "npu",
}
_NO_TEMPERATURE = ("bcl_voltage", "bcl_current", "bcl_percentage")
_CACHED = "Cached temperatures:"
_FROM_HAL = "Current temperatures from HAL:"
_TEMPERATURE = re.compile(
    r"\s*Temperature\{mValue=([^,{}]{1,40}), mType=(-?[0-9]{1,4}), "
    r"mName=([^,{}]{0,80}), mStatus=(-?[0-9]{1,4})\}"
)


@dataclass(frozen=True)
class Temperature:
    """One sensor.

    Attributes:
        name: As the device calls it.
        kind: One of `KINDS`' values; `None` for a number that Android does not know.
        celsius: What it tells.
        status: Its throttling status, as in `edgegen.device.description.THERMAL_STATUS`.
    """

    name: str
    kind: str | None
    celsius: float
    status: int


@dataclass(frozen=True)
class Thermal:
    """What the thermal service tells.

    Attributes:
        status: One of `edgegen.device.description.THERMAL_STATUS`.
        temperatures: Of all sensors, as the HAL measures them now; the service's cache, which
            may be hours old, only where there is no HAL to ask.
        cached: Whether they are from the cache.
    """

    status: str | None
    temperatures: tuple[Temperature, ...]
    cached: bool


def parse_thermalservice(text: str) -> Thermal:
    """Read what `dumpsys thermalservice` prints."""
    blocks: dict[str, list[Temperature]] = {}
    block: list[Temperature] | None = None
    for line in lines_of(text):
        if line.strip() in (_CACHED, _FROM_HAL):
            block = blocks.setdefault(line.strip(), [])
        elif (found := _TEMPERATURE.fullmatch(line)) is not None:
            celsius = decimal(found.group(1))
            if block is not None and celsius is not None:
                kind = KINDS.get(int(found.group(2)))
                block.append(Temperature(found.group(3), kind, celsius, int(found.group(4))))
        elif line and not line[0].isspace():
            block = None  # the next block
    cached = _FROM_HAL not in blocks
    temperatures = tuple(blocks.get(_CACHED if cached else _FROM_HAL, ()))
    return Thermal(parse_thermal(text.replace("\r\n", "\n")), temperatures, cached)


def highest_celsius(temperatures: Sequence[Temperature]) -> float | None:
    """Return the highest temperature, of sensors whose kind is known and a temperature."""
    return max(
        (
            each.celsius
            for each in temperatures
            if each.kind is not None
            and each.kind not in _NO_TEMPERATURE
            and is_temperature(each.name, each.celsius)
        ),
        default=None,
    )
