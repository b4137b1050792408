"""Commands that only Android has, answered from a script.

They are programs in a folder that comes first on the path of the device's shell, so that pipes,
quoting and exit codes are a real shell's. The phone that they tell of does not exist.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path

PROPERTIES = {
    "ro.product.manufacturer": "Edgegen",
    "ro.product.model": "Double 1",
    "ro.product.name": "double",
    "ro.product.device": "double",
    "ro.product.cpu.abilist": "arm64-v8a,armeabi-v7a,armeabi",
    "ro.soc.manufacturer": "Edgegen",
    "ro.soc.model": "D1",
    "ro.board.platform": "double",
    "ro.hardware": "double",
    "ro.build.version.release": "15",
    "ro.build.version.sdk": "35",
    "ro.build.fingerprint": "edgegen/double/double:15/AAAA.000000.000/1:user/release-keys",
}

DUMPSYS = {
    "battery": """Current Battery Service state:
  AC powered: false
  USB powered: true
  Wireless powered: false
  Max charging current: 500000
  Charge counter: 3270000
  status: 2
  health: 2
  present: true
  level: 83
  scale: 100
  voltage: 4352
  temperature: 274
  technology: Li-ion
""",
    "thermalservice": """IsStatusOverride: false
ThermalEventListeners:
\tcallbacks: 1
Thermal Status: 0
Cached temperatures:
\tTemperature{mValue=30.1, mType=3, mName=skin, mStatus=0}
HAL Ready: true
HAL connection:
\tThermalHAL AIDL 1 connected: yes
Current temperatures from HAL:
\tTemperature{mValue=41.5, mType=0, mName=CPU0, mStatus=0}
\tTemperature{mValue=31.2, mType=3, mName=skin, mStatus=0}
Current cooling devices from HAL:
""",
    "SurfaceFlinger": """Build configuration: [sf]
GLES: Edgegen, Double GPU 1, OpenGL ES 3.2 v1.r1
""",
}

_NOT_FOUND = 'echo "/system/bin/sh: {name}: inaccessible or not found" >&2\nexit 127\n'


def write_programs(
    folder: Path,
    *,
    properties: Mapping[str, str],
    dumpsys: Mapping[str, str],
    commands: Mapping[str, str],
    missing: Iterable[str],
) -> None:
    """Write the programs into a folder.

    Args:
        folder: Where; exists.
        properties: What `getprop` knows.
        dumpsys: What `dumpsys` says of each service.
        commands: Scripts of further commands, by name.
        missing: Names of commands that this device shall not have.
    """
    scripts = {"getprop": _getprop(properties), "dumpsys": _dumpsys(dumpsys), **commands}
    scripts.update({name: _NOT_FOUND.format(name=name) for name in missing})
    for name, text in scripts.items():
        write_program(folder, name, text)


def write_program(folder: Path, name: str, text: str) -> None:
    """Write one program."""
    program = folder / name
    program.write_text(f"#!/bin/sh\n{text}", encoding="utf-8")
    program.chmod(0o755)


def full_disk_dd(free: int, real: str) -> str:
    """Return a `dd` whose disk has `free` bytes left."""
    return f"""
full=$(mktemp)
{{ head -c {free}; [ "$(head -c 1 | wc -c)" -eq 0 ] || echo full > "$full"; }} | {real} "$@"
status=$?
[ -s "$full" ] && status=1 && echo "dd: {_TARGET}: No space left on device" >&2
rm -f "$full"
exit $status
"""


def free_space_stat(free: int, real: str) -> str:
    """Return a `stat` that tells of `free` bytes on each disk."""
    return f'[ "$1" = -f ] && echo "{free} 1" && exit 0\nexec {real} "$@"\n'


_TARGET = "writing"


def _getprop(properties: Mapping[str, str]) -> str:
    lines = "".join(f"[{key}]: [{value}]\n" for key, value in properties.items())
    cases = "".join(
        f"{shlex.quote(key)}) echo {shlex.quote(value)};;\n" for key, value in properties.items()
    )
    return (
        f'[ $# -eq 0 ] && {{ printf %s {shlex.quote(lines)}; exit; }}\ncase "$1" in\n{cases}'
        "*) echo;;\nesac\n"
    )


def _dumpsys(services: Mapping[str, str]) -> str:
    cases = "".join(
        f"{shlex.quote(name)}) printf %s {shlex.quote(text)};;\n" for name, text in services.items()
    )
    return f'case "$1" in\n{cases}*) echo "Can\'t find service: $1";;\nesac\n'
