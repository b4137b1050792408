"""The state of a device that decides how fast it runs: heat, charge, screen, capped clocks."""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from edgegen.device.bench.record import Conditions
from edgegen.device.description import parse_supplies
from edgegen.device.sampling.dumpsys.battery import parse_battery_service
from edgegen.device.sampling.dumpsys.screen import parse_screen
from edgegen.device.sampling.dumpsys.thermalservice import highest_celsius, parse_thermalservice
from edgegen.device.sampling.peaks import is_temperature
from edgegen.device.transports.interface import Transport, number

_TIMEOUT_S = 40.0
_OUTPUT = 8 * 1024**2
_LINE = 1024
_ZONES = """for zone in /sys/class/thermal/thermal_zone*; do
  echo "$(cat $zone/type)|$(cat $zone/temp)"
done"""
_CLOCKS = """for cpu in /sys/devices/system/cpu/cpu[0-9]*/cpufreq; do
  echo "$(cat $cpu/scaling_max_freq)|$(cat $cpu/cpuinfo_max_freq)"
done"""
_SUPPLIES = """for supply in /sys/class/power_supply/*; do
  echo "$(cat $supply/type)|$(cat $supply/capacity)|$(cat $supply/status)|$(cat $supply/scope)"
done"""
# A service that hangs must not hold up the others.
_SERVICE = "if command -v timeout >/dev/null; then timeout {1} dumpsys {0}; else dumpsys {0}; fi"
_SERVICE_S = 8
_SERVICES = ("thermalservice", "battery", "power")


def conditions_of(transport: Transport) -> Conditions:
    """Ask a device for its state now; what it does not tell is `None`.

    The state is in the fields of the time before a run: `thermal_status_before` and
    `start_celsius`.

    Raises:
        DeviceError: it cannot be reached.
    """
    services = {name: _SERVICE.format(name, _SERVICE_S) for name in _SERVICES}
    sections = {"zones": _ZONES, "clocks": _CLOCKS, "supplies": _SUPPLIES, **services}
    told = _ask(transport, sections)
    thermal = parse_thermalservice(told["thermalservice"])
    sensors = () if thermal.cached else thermal.temperatures
    hottest = (parse_zones(told["zones"]), highest_celsius(sensors))
    battery = parse_battery_service(told["battery"])
    percent, charging = battery.percent, battery.charging
    if percent is None:
        percent, charging = parse_supplies(told["supplies"])
    return Conditions(
        thermal_status_before=thermal.status,
        start_celsius=max((each for each in hottest if each is not None), default=None),
        cpu_max_khz_capped=parse_caps(told["clocks"]),
        battery_percent=percent,
        charging=charging,
        screen_on=parse_screen(told["power"]),
    )


def cpu_capped(transport: Transport) -> bool | None:
    """Return whether a CPU may not run as fast as it can, by heat or by order; `None` if unknown.

    Raises:
        DeviceError: the device cannot be reached.
    """
    return parse_caps(_ask(transport, {"clocks": _CLOCKS})["clocks"])


def parse_zones(text: str) -> float | None:
    """Return the highest temperature from lines `type|milli-degrees` of thermal zones."""
    celsius = []
    for line in text.splitlines():
        kind, _, rest = line[:_LINE].rpartition("|")
        if (value := number(rest)) is not None and is_temperature(kind.strip(), value / 1e3):
            celsius.append(value / 1e3)
    return max(celsius, default=None)


def parse_caps(text: str) -> bool | None:
    """Return whether one of the lines `allowed kHz|highest kHz` allows less than the highest."""
    pairs = []
    for line in text.splitlines():
        parts = line[:_LINE].partition("|")
        allowed, highest = number(parts[0]), number(parts[2])
        if allowed and highest:
            pairs.append((allowed, highest))
    return any(allowed < highest for allowed, highest in pairs) if pairs else None


def _ask(transport: Transport, sections: Mapping[str, str]) -> dict[str, str]:
    """Run all sections as one script; return what each wrote. What fails leaves its own empty."""
    mark = secrets.token_hex(16)
    script = "".join(
        f"printf '\\n{mark} {name}\\n'\n(\n{body}\n) 2>/dev/null\n"
        for name, body in sections.items()
    )
    said = transport.shell(script, timeout_s=_TIMEOUT_S, output_limit=_OUTPUT).text
    told = dict.fromkeys(sections, "")
    for part in said.replace("\r\n", "\n").split(f"\n{mark} ")[1:]:
        name, _, body = part.partition("\n")
        if name in told:
            told[name] = body
    return told
