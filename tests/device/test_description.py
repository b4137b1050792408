"""What a device tells of itself; what it does not tell stays unknown."""

from __future__ import annotations

import dataclasses
import os
import platform
import time

import pytest

from edgegen.device.description import (
    THERMAL_STATUS,
    Cluster,
    describe_device,
    free_bytes,
    parse_battery,
    parse_clusters,
    parse_getprop,
    parse_gles,
    parse_meminfo,
    parse_supplies,
    parse_thermal,
)
from edgegen.device.testing import DUMPSYS, PROPERTIES
from edgegen.device.transports.interface import number

MIB = 1024**2


def test_an_android_device(reach):
    reached = reach("adb-direct", reported_free_bytes=123 * MIB)
    found = describe_device(reached.transport, reached.path("bundles"))
    assert (found.manufacturer, found.model) == ("Edgegen", "Double 1")
    assert (found.soc, found.platform, found.gpu) == (
        "Edgegen D1",
        "double",
        "Edgegen Double GPU 1",
    )
    assert found.abis == ("arm64-v8a", "armeabi-v7a", "armeabi")
    assert (found.system, found.api_level) == ("Android 15", 35)
    assert found.build_fingerprint == PROPERTIES["ro.build.fingerprint"]
    assert found.thermal_status == "none"
    assert (found.battery_percent, found.charging) == (83.0, True)
    assert found.free_bytes == 123 * MIB
    # What the double leaves to this machine.
    assert found.kernel == platform.release()
    assert found.ram_total_bytes == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert sum(len(cluster.cpus) for cluster in found.clusters) >= os.cpu_count()


def test_this_machine(reach, tmp_path):
    found = describe_device(reach("local").transport, str(tmp_path))
    assert (found.serial, found.transport) == ("local", "local")
    assert found.abis == (platform.machine(),)
    assert (found.api_level, found.build_fingerprint, found.thermal_status) == (None, None, None)
    disk = os.statvfs(tmp_path)
    assert found.free_bytes == pytest.approx(disk.f_bavail * disk.f_frsize, rel=0.1)


@pytest.mark.parametrize("way", ["adb-direct", "adb-direct, old device", "adb-server"])
def test_a_device_that_tells_nothing_is_unknown(reach, way):
    silent = ("getprop", "dumpsys", "uname", "cat", "tr", "stat", "df")
    reached = reach(way, missing=silent)
    found = dataclasses.asdict(describe_device(reached.transport, "/data/local/tmp"))
    for name in ("serial", "transport", "folder", "clusters", "opencl_library", "opencl_reachable"):
        found.pop(name)
    assert found.pop("abis") == ()
    assert set(found.values()) == {None}


def test_a_service_that_hangs_leaves_its_facts_unknown(reach, monkeypatch):
    monkeypatch.setattr("edgegen.device.description._TIMEOUT_S", 0.5)
    reached = reach("adb-direct", commands={"dumpsys": "exec sleep 60\n"})
    found = describe_device(reached.transport)
    assert (found.battery_percent, found.thermal_status, found.gpu) == (None, None, None)
    assert found.model == "Double 1"


def test_free_space_by_df_where_stat_does_not_tell(reach):
    df = """cat <<'END'
Filesystem     1K-blocks    Used Available Use% Mounted on
/dev/block/dm-43 111901676 5311716 106458888   5% /data
END
"""
    reached = reach("adb-direct", missing=("stat",), commands={"df": df})
    assert free_bytes(reached.transport, "/data/local/tmp/new") == 106458888 * 1024


def test_properties_over_several_lines():
    text = "[a.b]: [1]\n[c]: [two\nlines]\n[d]: []\n[e]: [x]: [y]\n"
    assert parse_getprop(text) == {"a.b": "1", "c": "two\nlines", "d": "", "e": "x]: [y"}
    assert parse_getprop("") == {}
    assert parse_getprop("/system/bin/sh: getprop: not found\n") == {}


@pytest.mark.parametrize(("number", "status"), enumerate(THERMAL_STATUS))
def test_thermal_status(number, status):
    text = DUMPSYS["thermalservice"].replace("Thermal Status: 0", f"Thermal Status: {number}")
    assert parse_thermal(text) == status


@pytest.mark.parametrize("text", ["", "Thermal Status: 7\n", "Thermal Status: hot\n", "x"])
def test_thermal_status_unknown(text):
    assert parse_thermal(text) is None


def test_batteries():
    battery = DUMPSYS["battery"]
    assert parse_battery(battery) == (83.0, True)
    assert parse_battery(battery.replace("status: 2", "status: 3")) == (83.0, False)
    assert parse_battery(battery.replace("status: 2", "status: 5")) == (83.0, True)
    unplugged = battery.replace("status: 2", "status: 5").replace("USB powered: true", "x")
    assert parse_battery(unplugged) == (83.0, False)
    assert parse_battery(battery.replace("status: 2", "status: 1")) == (83.0, None)
    assert parse_battery(battery.replace("scale: 100", "scale: 200")) == (41.5, True)
    noise = "[EventLogBuffer]\n11-08 level:72,status:3\n  note without value\n"
    assert parse_battery(battery + noise) == (83.0, True)
    assert parse_battery("Can't find service: battery\n") == (None, None)


def test_batteries_of_linux():
    assert parse_supplies("Mains||\nBattery|57|Discharging\n") == (57.0, False)
    assert parse_supplies("Battery|57|Charging\n") == (57.0, True)
    assert parse_supplies("Battery|57|Unknown\n") == (57.0, None)
    assert parse_supplies("Mains||\n") == (None, None)
    assert parse_supplies("") == (None, None)


def test_clusters():
    text = "0|1803000|0 1\n1|1803000|0 1\n2|2850000|2\n10|2350000|10 11\n11|2350000|10 11\n"
    assert parse_clusters(text) == (
        Cluster((0, 1), 1803000),
        Cluster((10, 11), 2350000),
        Cluster((2,), 2850000),
    )
    assert parse_clusters("0||\n1||\n") == (Cluster((0, 1), None),)
    assert parse_clusters("") == ()
    assert parse_clusters("x|1|2\nnonsense\n") == ()


def test_graphics_processors():
    assert parse_gles(DUMPSYS["SurfaceFlinger"]) == "Edgegen Double GPU 1"
    real = " GLES: Qualcomm, Adreno (TM) 740, OpenGL ES 3.2 V@0676.32 (GIT@9ab6ff6)\n"
    assert parse_gles(real) == "Qualcomm Adreno (TM) 740"
    assert parse_gles("GLES: \n") is None
    assert parse_gles("") is None


def test_memory():
    text = "MemTotal:        7822336 kB\nMemAvailable:    3211000 kB\nHugePages_Total:   0\n"
    assert parse_meminfo(text) == {
        "MemTotal": 7822336 * 1024,
        "MemAvailable": 3211000 * 1024,
    }


def test_no_text_takes_long():
    began = time.monotonic()
    parse_gles("\n" * 400_000)
    parse_gles("GLES: " + " " * 400_000)
    parse_getprop("[a]: [\n" * 40_000)
    parse_getprop("[" * 400_000)
    parse_battery("  a" * 100_000)
    parse_meminfo("A" * 400_000 + ": " + " " * 400_000)
    assert time.monotonic() - began < 2


def test_numbers_without_end_are_unknown():
    nines = "9" * 5000
    assert parse_meminfo(f"MemTotal: {nines} kB\nMemFree: 1 kB\n") == {"MemFree": 1024}
    assert parse_thermal(f"Thermal Status: {nines}\n") is None
    assert parse_battery(f"  level: {nines}\n  scale: {nines}\n") == (None, None)
    assert parse_supplies(f"Battery|{nines}|Charging|\n") == (None, None)
    assert parse_clusters(f"{nines}|1|0\n0|{nines}|0\n") == (Cluster((0,), None),)
    assert [number(text) for text in (None, "", "-1", "1_0", "\u0661", "9" * 20)] == [None] * 6
    assert number(" 12\n") == 12


def test_the_battery_of_a_mouse_is_not_that_of_the_machine():
    assert parse_supplies("Battery|5|Discharging|Device\nBattery|57|Charging|\n") == (57.0, True)
    assert parse_supplies("Battery|5|Discharging|Device\n") == (None, None)
