"""What a device is and in which state: asked of the device, and never guessed."""

from __future__ import annotations

import dataclasses
import re
import secrets
import shlex
import threading
from dataclasses import dataclass
from typing import Any

from edgegen.device.transports.failures import (
    CommandFailedError,
    DeviceTimeoutError,
    EndlessOutputError,
)
from edgegen.device.transports.interface import Transport, number

THERMAL_STATUS = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")
DEFAULT_FOLDER = "/data/local/tmp/edgegen"
_TIMEOUT_S = 15.0
_OUTPUT = 4 * 1024**2
_TEXT = 64 * 1024  # of what is a few lines on any device
_LINE = 1024  # characters of a line that are looked at
_DF = re.compile(r" \d{1,19} \d{1,19} (\d{1,19}) \d{1,3}% ")

# Each section is asked for in one go; what fails leaves its section empty.
_SECTIONS = {
    "getprop": "getprop",
    "kernel": "uname -r",
    "machine": "uname -m",
    "os-release": "cat /etc/os-release",
    "meminfo": "cat /proc/meminfo",
    "board": "tr -d '\\0' </proc/device-tree/model || cat /sys/class/dmi/id/product_name",
    "vendor": "cat /sys/class/dmi/id/sys_vendor",
    "soc": "cat /sys/devices/soc0/machine",
    "cpus": """for cpu in /sys/devices/system/cpu/cpu[0-9]*; do
  echo "${cpu##*cpu}|$(cat $cpu/cpufreq/cpuinfo_max_freq)|$(cat $cpu/cpufreq/related_cpus)"
done""",
    "gpu": "cat /sys/class/kgsl/kgsl-3d0/gpu_model || cat /sys/class/misc/mali0/device/gpuinfo",
    "supplies": """for supply in /sys/class/power_supply/*; do
  echo "$(cat $supply/type)|$(cat $supply/capacity)|$(cat $supply/status)|$(cat $supply/scope)"
done""",
    "opencl": """for folder in /vendor/lib64 /system/vendor/lib64 /system/lib64 /vendor/lib \\
  /system/lib /usr/lib/*-linux-gnu* /usr/lib64 /usr/lib /usr/local/lib; do
  [ -x $folder ] && [ -r $folder ] || continue
  echo looked
  for name in libOpenCL.so libOpenCL.so.1; do
    [ -r $folder/$name ] && echo "found $folder/$name"
  done
done""",
}


@dataclass(frozen=True)
class Cluster:
    """CPUs that share a clock.

    Attributes:
        cpus: Their numbers.
        max_khz: The highest frequency, `None` where the device does not tell.
    """

    cpus: tuple[int, ...]
    max_khz: int | None


@dataclass(frozen=True)
class DeviceDescription:
    """A device; what it does not tell is `None`.

    Attributes:
        serial: Its serial number or address.
        transport: The way to it.
        model: As its maker calls it.
        manufacturer: Who made it.
        soc: System on chip, with its maker.
        platform: The code name of the board.
        gpu: Graphics processor.
        abis: What machine code it runs, the preferred first.
        system: Operating system with its version.
        api_level: Android's number for that.
        build_fingerprint: Android's name for the very build.
        kernel: Version of Linux.
        ram_total_bytes: Main memory.
        ram_available_bytes: What programs may still get of it.
        folder: Where bundles are pushed.
        free_bytes: Free space there.
        clusters: CPUs by clock, the slowest first.
        thermal_status: One of `THERMAL_STATUS`.
        battery_percent: Charge.
        charging: Whether it is being charged.
        opencl_library: A `libOpenCL.so` that commands can read.
        opencl_reachable: Whether there is one.
    """

    serial: str
    transport: str
    model: str | None
    manufacturer: str | None
    soc: str | None
    platform: str | None
    gpu: str | None
    abis: tuple[str, ...]
    system: str | None
    api_level: int | None
    build_fingerprint: str | None
    kernel: str | None
    ram_total_bytes: int | None
    ram_available_bytes: int | None
    folder: str
    free_bytes: int | None
    clusters: tuple[Cluster, ...]
    thermal_status: str | None
    battery_percent: float | None
    charging: bool | None
    opencl_library: str | None
    opencl_reachable: bool | None

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return dataclasses.asdict(self)


def describe_device(transport: Transport, folder: str = DEFAULT_FOLDER) -> DeviceDescription:
    """Ask a device what it is.

    Args:
        transport: The device.
        folder: Where bundles go.

    Raises:
        DeviceError: it cannot be reached.
    """
    told = _ask(transport)
    properties = parse_getprop(told["getprop"])
    android = bool(properties.get("ro.build.version.sdk"))
    battery = parse_battery(_dumpsys(transport, "battery") if android else "")
    level, charging = battery if android else parse_supplies(told["supplies"])
    memory = parse_meminfo(told["meminfo"])
    looked = told["opencl"][:_TEXT].splitlines()
    libraries = [line.removeprefix("found ") for line in looked if line.startswith("found /")]
    return DeviceDescription(
        serial=transport.serial,
        transport=transport.name,
        model=properties.get("ro.product.model") or _line(told["board"]),
        manufacturer=properties.get("ro.product.manufacturer") or _line(told["vendor"]),
        soc=_soc(properties) or _line(told["soc"]),
        platform=properties.get("ro.board.platform") or None,
        gpu=(parse_gles(_dumpsys(transport, "SurfaceFlinger")) if android else None)
        or _line(told["gpu"]),
        abis=_abis(properties, told["machine"]),
        system=_system(properties, told["os-release"]),
        api_level=number(properties.get("ro.build.version.sdk")),
        build_fingerprint=properties.get("ro.build.fingerprint") or None,
        kernel=_line(told["kernel"]),
        ram_total_bytes=memory.get("MemTotal"),
        ram_available_bytes=memory.get("MemAvailable"),
        folder=folder,
        free_bytes=free_bytes(transport, folder),
        clusters=parse_clusters(told["cpus"]),
        thermal_status=parse_thermal(_dumpsys(transport, "thermalservice")) if android else None,
        battery_percent=level,
        charging=charging,
        opencl_library=libraries[0] if libraries else None,
        opencl_reachable=True if libraries else (False if "looked" in looked else None),
    )


def free_bytes(
    transport: Transport, folder: str, cancel: threading.Event | None = None
) -> int | None:
    """Return the free space at a folder, or where it will be made; `None` if nobody tells.

    Raises:
        DeviceError: the device cannot be reached.
    """
    text = f"""folder={shlex.quote(folder)}
while [ ! -e "$folder" ]; do
  parent=${{folder%/*}}
  [ "$parent" = "$folder" ] && break
  folder=${{parent:-/}}
done
stat -f -c '%a %S' "$folder" || df -k "$folder" """
    said = transport.shell(
        text, timeout_s=transport.silence_s, cancel=cancel, output_limit=_TEXT
    ).text
    if (blocks := re.fullmatch(r"(\d{1,19}) (\d{1,19})", said.strip())) is not None:
        return int(blocks.group(1)) * int(blocks.group(2))
    # df: 1K-blocks, used, available, use% stand before the mount point.
    if (kib := _DF.search(" ".join(said.split()))) is not None:
        return int(kib.group(1)) * 1024
    return None


def parse_getprop(text: str) -> dict[str, str]:
    """Return what `getprop` lists; values may go over several lines."""
    pairs: dict[str, str] = {}
    name, lines = "", list[str]()
    for line in text.splitlines():
        begins = line.startswith("[") and "]: [" in line and (not name or lines[-1].endswith("]"))
        if begins:
            _keep(pairs, name, lines)
            name, _, value = line[1:].partition("]: [")
            lines = [value]
        elif name:
            lines.append(line)
    _keep(pairs, name, lines)
    return pairs


def _keep(pairs: dict[str, str], name: str, lines: list[str]) -> None:
    while lines and not lines[-1].strip():
        lines.pop()
    if name and lines and lines[-1].endswith("]"):
        pairs[name] = "\n".join(lines)[:-1]


def parse_meminfo(text: str) -> dict[str, int]:
    """Return the values of `/proc/meminfo` in bytes."""
    found = (re.fullmatch(r"(\w+):[ \t]+(\d{1,19}) kB", line[:_LINE]) for line in text.splitlines())
    return {pair.group(1): int(pair.group(2)) * 1024 for pair in found if pair is not None}


def parse_clusters(text: str) -> tuple[Cluster, ...]:
    """Return CPUs by the clock they share, from lines `number|highest kHz|numbers`.

    A CPU whose kernel tells of no clock stands in a cluster without a frequency.
    """
    members: dict[tuple[str, int | None], set[int]] = {}
    for line in text.splitlines():
        first, _, rest = line[:_LINE].partition("|")
        highest, _, related = rest.partition("|")
        if (cpu := number(first)) is not None:
            members.setdefault((related.strip(), number(highest)), set()).add(cpu)
    found = [Cluster(tuple(sorted(cpus)), khz) for (_, khz), cpus in members.items()]
    return tuple(sorted(found, key=lambda cluster: (cluster.max_khz or 0, cluster.cpus)))


def parse_thermal(text: str) -> str | None:
    """Return the status that `dumpsys thermalservice` tells."""
    for line in text.splitlines():
        if line.startswith("Thermal Status: "):
            status = number(line[:_LINE].partition(": ")[2])
            known = status is not None and status < len(THERMAL_STATUS)
            return THERMAL_STATUS[status] if status is not None and known else None
    return None


def parse_battery(text: str) -> tuple[float | None, bool | None]:
    """Return percent and whether it charges, from `dumpsys battery`.

    Only indented `key: value` lines count; some makers add logs of their own.
    """
    found = (
        re.fullmatch(r"  ([A-Za-z ]+): (\S+)[ \t]*", line[:_LINE]) for line in text.splitlines()
    )
    values = {pair.group(1): pair.group(2) for pair in found if pair is not None}
    level, scale = number(values.get("level")), number(values.get("scale"))
    percent = 100 * level / scale if level is not None and scale else None
    # BatteryManager.BATTERY_STATUS_*: a full one is fed or not, which its plugs tell.
    powered = any(key.endswith("powered") and value == "true" for key, value in values.items())
    states = {"2": True, "3": False, "4": False, "5": powered}
    return percent, states.get(values.get("status", ""))


def parse_supplies(text: str) -> tuple[float | None, bool | None]:
    """Return percent and whether it charges, from lines `type|capacity|status|scope` of Linux.

    A battery of the scope `Device` is that of a mouse or a pen.
    """
    for line in text.splitlines():
        kind, _, rest = line.partition("|")
        capacity, _, rest = rest.partition("|")
        status, _, scope = rest.partition("|")
        if kind != "Battery" or scope.strip() == "Device":
            continue
        if (percent := number(capacity)) is not None:
            states = {"Charging": True, "Full": True, "Discharging": False, "Not charging": False}
            return float(percent), states.get(status.strip())
    return None, None


def parse_gles(text: str) -> str | None:
    """Return the graphics processor that `dumpsys SurfaceFlinger` draws with."""
    for line in text.splitlines():
        maker, *rest = line[:_LINE].strip().removeprefix("GLES: ").split(",")
        if line[:_LINE].lstrip().startswith("GLES: ") and len(rest) > 1 and maker and rest[0]:
            return f"{maker.strip()} {rest[0].strip()}"
    return None


def _ask(transport: Transport) -> dict[str, str]:
    """Run all sections as one script; return what each wrote."""
    mark = secrets.token_hex(16)
    script = "".join(
        f"printf '\\n{mark} {name}\\n'\n({body}\n) 2>/dev/null\n"
        for name, body in _SECTIONS.items()
    )
    said = transport.shell(script, timeout_s=2 * _TIMEOUT_S, output_limit=_OUTPUT).text
    told = dict.fromkeys(_SECTIONS, "")
    for part in said.replace("\r\n", "\n").split(f"\n{mark} ")[1:]:
        name, _, body = part.partition("\n")
        if name in told:
            told[name] = body
    return told


def _dumpsys(transport: Transport, service: str) -> str:
    """Return what a service of Android's tells, nothing if it hangs or is not there."""
    try:
        result = transport.shell(("dumpsys", service), timeout_s=_TIMEOUT_S, output_limit=_OUTPUT)
    except (CommandFailedError, DeviceTimeoutError, EndlessOutputError):
        return ""
    return result.text.replace("\r\n", "\n") if result.exit_code == 0 else ""


def _soc(properties: dict[str, str]) -> str | None:
    words = [properties.get(f"ro.soc.{part}", "") for part in ("manufacturer", "model")]
    # Where a maker sets neither, Android says so.
    return " ".join(word for word in words if word and word != "unknown") or None


def _abis(properties: dict[str, str], machine: str) -> tuple[str, ...]:
    listed = properties.get("ro.product.cpu.abilist") or (_line(machine) or "")
    return tuple(filter(None, listed.split(",")))


def _system(properties: dict[str, str], os_release: str) -> str | None:
    if release := properties.get("ro.build.version.release"):
        return f"Android {release}"
    for line in os_release.splitlines():
        if line.startswith("PRETTY_NAME="):
            return line[:_LINE].partition("=")[2].strip().strip('"') or None
    return None


def _line(text: str) -> str | None:
    """Return the first line, `None` if there is nothing on it."""
    return (text.strip().splitlines() or [""])[0][:_LINE].strip() or None
