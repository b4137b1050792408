"""A sysfs that does not exist, as folders and files."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

# Shells that the sampler must run in: Debian's, and Android's.
SHELLS = [
    pytest.param(
        words,
        id=name,
        marks=pytest.mark.skipif(
            shutil.which(words[0]) is None, reason=f"needs {name}: apt-get install {name}"
        ),
    )
    for name, words in {
        "dash": ["dash"],
        "bash": ["bash", "--posix"],
        "busybox": ["busybox", "sh"],
        "mksh": ["mksh"],
    }.items()
]

PHONE = {
    "devices/system/cpu/cpufreq/policy0/scaling_cur_freq": "1803000",
    "devices/system/cpu/cpufreq/policy4/scaling_cur_freq": "2850000",
    "class/kgsl/kgsl-3d0/gpuclk": "680000000",
    "class/power_supply/battery/current_now": "-812000",
    "class/power_supply/battery/voltage_now": "4012345",
    "class/power_supply/battery/status": "Discharging",
    "class/thermal/thermal_zone0/type": "cpu-0-0",
    "class/thermal/thermal_zone0/temp": "61200",
    "class/thermal/thermal_zone1/type": "a zone, with a comma",
    "class/thermal/thermal_zone1/temp": "-2000",
    "class/thermal/thermal_zone2/type": "vbat",
    "class/thermal/thermal_zone2/temp": "99000",
    "class/thermal/thermal_zone3/type": "cpu-0-0",
    "class/thermal/thermal_zone3/temp": "58000",
    "class/thermal/thermal_zone4/type": "broken",
    "class/thermal/thermal_zone4/temp": "",
    "class/powercap/intel-rapl:0/name": "package-0",
    "class/powercap/intel-rapl:0/energy_uj": "262143328000",
    "class/powercap/intel-rapl:0/max_energy_range_uj": "262143328850",
    "class/powercap/intel-rapl:0:0/name": "core",
    "class/powercap/intel-rapl:0:0/energy_uj": "7",
    "class/powercap/intel-rapl:1/name": "psys",
    "class/powercap/intel-rapl:1/energy_uj": "7",
}
# What a phone's columns are, but for the process's own.
PHONE_COLUMNS = {
    "khz.cpu0": 1803000.0,
    "khz.cpu4": 2850000.0,
    "gpu_khz": 680000.0,
    "battery_ma": -812.0,
    "battery_mv": 4012.345,
    "battery_discharging": 1.0,
    "celsius.cpu-0-0": 61.2,
    "celsius.zone1": -2.0,
    "celsius.vbat": 99.0,
    "celsius.cpu-0-0.2": 58.0,
    "rapl_uj.0": 262143328000.0,
}


def make_sysfs(root: Path, files: dict[str, str]) -> str:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    root.mkdir(exist_ok=True)
    return str(root)


NOTHING = {
    "khz": "no clock of a CPU is there",
    "gpu_khz": "no clock of a GPU is there",
    "rapl_uj": "no counter of energy is there",
    "battery": "no battery's current is there",
    "celsius": "no thermal zone is there",
}
CLOSED = {
    "khz": "a clock of a CPU is there, but this user cannot read it",
    "gpu_khz": "a clock of a GPU is there, but this user cannot read it",
    "rapl_uj": "a counter of energy is there, but this user cannot read it",
    "battery": "a battery's current is there, but this user cannot read it",
    "celsius": "a thermal zone is there, but this user cannot read it",
}


def make_closed_sysfs(root: Path) -> str:
    """Make folders in the places of files, which not even root can read."""
    for name in PHONE:
        (root / name).mkdir(parents=True)
    return str(root)


def unread(missing):
    """Return what could not be read; whether a sample came near the peak is a matter of luck."""
    return {name: why for name, why in missing.items() if "memory was highest" not in why}
