"""What Android's services print: the forms that are known, and anything else."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgegen.device.sampling.dumpsys.battery import Battery, parse_battery_service
from edgegen.device.sampling.dumpsys.gpu import GpuMemory, parse_gpumem
from edgegen.device.sampling.dumpsys.meminfo import MemInfo, parse_meminfo_service
from edgegen.device.sampling.dumpsys.screen import parse_screen
from edgegen.device.sampling.dumpsys.thermalservice import (
    Temperature,
    Thermal,
    highest_celsius,
    parse_thermalservice,
)
from edgegen.device.testing import DUMPSYS

THERMAL = """IsStatusOverride: false
ThermalEventListeners:
\tcallbacks: 2
\tkilled: false
ThermalStatusListeners:
\tcallbacks: 1
Thermal Status: 2
Cached temperatures:
\tTemperature{mValue=99.5, mType=0, mName=CPU0, mStatus=3}
\tTemperature{mValue=31.0, mType=3, mName=skin, mStatus=0}
HAL Ready: true
HAL connection:
\tThermalHAL 2.0 connected: yes
Current temperatures from HAL:
\tTemperature{mValue=62.500004, mType=0, mName=CPU0, mStatus=0}
\tTemperature{mValue=34.9, mType=2, mName=battery, mStatus=0}
\tTemperature{mValue=100.0, mType=8, mName=soc, mStatus=0}
\tTemperature{mValue=88.0, mType=-1, mName=bogus, mStatus=0}
\tTemperature{mValue=NaN, mType=1, mName=GPU0, mStatus=0}
Current cooling devices from HAL:
\tCoolingDevice{mValue=0, mType=5, mName=tpu_cooling}
"""


def test_temperatures_of_the_hal_go_before_those_of_the_cache():
    found = parse_thermalservice(THERMAL)
    assert found == Thermal(
        "moderate",
        (
            Temperature("CPU0", "cpu", 62.500004, 0),
            Temperature("battery", "battery", 34.9, 0),
            Temperature("soc", "bcl_percentage", 100.0, 0),
            Temperature("bogus", None, 88.0, 0),
        ),
        cached=False,
    )
    assert highest_celsius(found.temperatures) == 62.500004
    assert parse_thermalservice(THERMAL.replace("\n", "\r\n")) == found


def test_without_a_hal_there_is_the_cache():
    found = parse_thermalservice(THERMAL[: THERMAL.index("HAL Ready")] + "HAL Ready: false\n")
    assert (found.cached, found.temperatures[0].celsius) == (True, 99.5)


def test_a_hal_without_sensors_does_not_bring_back_the_cache():
    text = "Cached temperatures:\n\tTemperature{mValue=99.5, mType=0, mName=CPU0, mStatus=3}\n"
    text += "Current temperatures from HAL:\nCurrent cooling devices from HAL:\n"
    assert parse_thermalservice(text) == Thermal(None, (), cached=False)


@pytest.mark.parametrize("text", ["", "Can't find service: thermalservice\n"])
def test_no_thermal_service(text):
    assert parse_thermalservice(text) == Thermal(None, (), cached=True)
    assert highest_celsius(()) is None


BATTERY = """Current Battery Service state:
  AC powered: false
  USB powered: true
  Wireless powered: false
  Dock powered: false
  Max charging current: 500000
  Max charging voltage: 5000000
  Charge counter: 3270000
  status: 5
  health: 2
  present: true
  level: 100
  scale: 100
  voltage: 4352
  temperature: 274
  technology: Li-ion
"""
# Some makers append this.
NOISE = """[EventLogBuffer]
11-08 12:00:00 level:72, status:3
  temperature: 999
level: 1
\tvoltage: 1
"""


def test_a_battery():
    assert parse_battery_service(BATTERY) == Battery(100.0, True, True, 27.4, 4352)
    assert parse_battery_service(BATTERY + NOISE) == Battery(100.0, True, True, 27.4, 4352)
    alone = BATTERY.replace("USB powered: true", "USB powered: false")
    assert parse_battery_service(alone.replace("status: 5", "status: 3")) == Battery(
        100.0, False, False, 27.4, 4352
    )


def test_a_battery_that_is_kept_from_charging_is_plugged():
    found = parse_battery_service(BATTERY.replace("status: 5", "status: 4"))
    assert (found.charging, found.plugged) == (False, True)


def test_a_cold_battery():
    assert parse_battery_service("  temperature: -85\n").celsius == -8.5


@pytest.mark.parametrize("text", ["", NOISE[:60], "Can't find service: battery\n"])
def test_no_battery(text):
    assert parse_battery_service(text) == Battery(None, None, None, None, None)


OLD = """Applications Memory Usage (in Kilobytes):
Uptime: 123456 Realtime: 234567

** MEMINFO in pid 1234 [com.example.app] **
                   Pss  Private  Private  SwapPss     Heap     Heap     Heap
                 Total    Dirty    Clean    Dirty     Size    Alloc     Free
                ------   ------   ------   ------   ------   ------   ------
  Native Heap    28070    28012       32      148    92160    34457    57702
  Dalvik Heap     1650     1620        0        9     3174     1638     1536
 Dalvik Other      900      888        0        0
        Stack      300      300        0        0
      Gfx dev    20480    20480        0        0
    .so mmap     3000      200     2000        5
   EGL mtrack     4096     4096        0        0
    GL mtrack    51200    51200        0        0
      Unknown     2765     2765        0        0
        TOTAL   112461   109561     2032      268    95334    36095    59238

 App Summary
                       Pss(KB)
                        ------
           Java Heap:     1620
         Native Heap:    28012
            Graphics:    75776
               System:      868

               TOTAL:   112461       TOTAL SWAP PSS:      268

 Objects
               Views:       10         ViewRootImpl:        1
"""
NEW = """Applications Memory Usage (in Kilobytes):
Uptime: 123456 Realtime: 234567

** MEMINFO in pid 4321 [litert_lm_main] **
                   Pss  Private  Private  SwapPss      Rss     Heap     Heap     Heap
                 Total    Dirty    Clean    Dirty    Total     Size    Alloc     Free
                ------   ------   ------   ------   ------   ------   ------   ------
  Native Heap   428070   428012       32      148   492160   434457    57702     1000
   Other mmap   760000        0   760000        0   800000
        TOTAL  1188845   428012   760032      148  1334984   434457    57702     1000

 App Summary
                       Pss(KB)                        Rss(KB)
                        ------                         ------
            Graphics:        0                              0

           TOTAL PSS:  1188845            TOTAL RSS:  1334984       TOTAL SWAP PSS (KB):      148
"""
KIB = 1024


def test_memory_of_android_10_and_older():
    found = parse_meminfo_service(OLD)
    assert (found.pid, found.name) == (1234, "com.example.app")
    assert (found.pss_bytes, found.rss_bytes) == (112461 * KIB, None)
    assert found.graphics_bytes == 75776 * KIB
    assert found.rows == {
        name: kib * KIB
        for name, kib in {
            "Native Heap": 28070,
            "Dalvik Heap": 1650,
            "Dalvik Other": 900,
            "Stack": 300,
            "Gfx dev": 20480,
            ".so mmap": 3000,
            "EGL mtrack": 4096,
            "GL mtrack": 51200,
            "Unknown": 2765,
        }.items()
    }
    assert found.gpu_bytes == (20480 + 4096 + 51200) * KIB


def test_memory_of_android_11_and_newer():
    found = parse_meminfo_service(NEW)
    assert (found.pid, found.name) == (4321, "litert_lm_main")
    assert (found.pss_bytes, found.rss_bytes) == (1188845 * KIB, 1334984 * KIB)
    assert (found.graphics_bytes, found.gpu_bytes) == (0, None)
    assert found.rows == {"Native Heap": 428070 * KIB, "Other mmap": 760000 * KIB}


def test_of_several_processes_the_first_is_read():
    assert parse_meminfo_service(NEW + OLD) == parse_meminfo_service(NEW)


def test_a_table_without_summary_has_its_total():
    assert parse_meminfo_service(OLD[: OLD.index(" App Summary")]).pss_bytes == 112461 * KIB


@pytest.mark.parametrize("text", ["", "No process found for: com.example.app\n", "TOTAL: 1\n"])
def test_no_process(text):
    assert parse_meminfo_service(text) == MemInfo()


GPU = """Memory snapshot for GPU 0:
Global total: 2291724288
Proc 1203 total: 104857600
Proc 4321 total: 4800000000, imported: 4096
"""


def test_memory_of_gpus():
    both = {1203: 104857600, 4321: 4800000000}
    assert parse_gpumem(GPU) == GpuMemory(2291724288, both)
    two = GPU + "Memory snapshot for GPU 1:\nGlobal total: 100\nProc 1203 total: 100\n"
    assert parse_gpumem(two) == GpuMemory(2291724388, {**both, 1203: 104857700})
    assert parse_gpumem("GPU service\n" + GPU.replace("\n", "\r\n")) == GpuMemory(2291724288, both)


@pytest.mark.parametrize(
    "text", ["", "Memory snapshot for GPU 0:\nGlobal total: N/A\n", "Proc 1 total: 5\n", "N/A"]
)
def test_a_driver_that_tells_nothing_of_memory(text):
    assert parse_gpumem(text) == GpuMemory()


@pytest.mark.parametrize(
    ("text", "on"),
    [
        ("POWER MANAGER (dumpsys power)\n\n  mWakefulness=Awake\n", True),
        ("  mWakefulness=Asleep\n", False),
        ("  mWakefulness=Dozing\n", False),
        ("  mWakefulness=Dreaming\n", True),
        ("  mWakefulness=Awake\n  mWakefulnessChanging=false\nDisplay Power: state=OFF\n", False),
        ("Display Power: state=ON\n  mWakefulness=Asleep\n", True),
        ("Display Power: state=UNKNOWN\n  mWakefulness=Asleep\n", False),
        ("  mGlobalDisplayState=DOZE\n", False),
        ("    mScreenState=ON\r\n", True),
        ("  mWakefulness=Elsewhere\n", None),
        ("Can't find service: power\n", None),
        ("", None),
    ],
)
def test_screens(text, on):
    assert parse_screen(text) is on


SAMPLES = (THERMAL, BATTERY + NOISE, OLD, NEW, GPU, *DUMPSYS.values())
PARSERS = (
    parse_thermalservice,
    parse_battery_service,
    parse_meminfo_service,
    parse_gpumem,
    parse_screen,
)
WORDS = sorted(
    {word for sample in SAMPLES for word in sample.split()} | {"\n", "\t", "  ", "9" * 40}
)


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(WORDS), max_size=60).map(" ".join)
    | st.text(max_size=300)
    | st.tuples(st.sampled_from(SAMPLES), st.integers(0, 900), st.text(max_size=5)).map(
        lambda damage: damage[0][: damage[1]] + damage[2] + damage[0][damage[1] + 3 :]
    )
)
def test_any_text_is_read_and_no_number_is_invented(text):
    thermal = parse_thermalservice(text)
    assert all(_stands_in(each.celsius, text) for each in thermal.temperatures)
    battery = parse_battery_service(text)
    assert battery.celsius is None or str(round(battery.celsius * 10)) in text
    assert battery.millivolts is None or str(battery.millivolts) in text
    memory = parse_meminfo_service(text)
    for size in (memory.pss_bytes, memory.rss_bytes, memory.graphics_bytes, *memory.rows.values()):
        assert size is None or str(size // KIB) in _without_zeros(text)
    gpu = parse_gpumem(text)
    assert all(str(pid) in _without_zeros(text) for pid in gpu.process_bytes)
    parse_screen(text)


@settings(deadline=None)
@given(st.sampled_from(SAMPLES), st.integers(0, 2000))
def test_text_that_is_cut_off_tells_nothing_new(text, end):
    # Cut at a line's end: a number that is cut off looks like a smaller one.
    cut = text[: text.rfind("\n", 0, end) + 1]
    whole, part = parse_meminfo_service(text), parse_meminfo_service(cut)
    assert set(part.rows.items()) <= set(whole.rows.items())
    assert part.rss_bytes in (None, whole.rss_bytes)
    assert part.pss_bytes in (None, whole.pss_bytes)
    assert set(parse_gpumem(cut).process_bytes.items()) <= set(
        parse_gpumem(text).process_bytes.items()
    )


def test_no_text_takes_long():
    began = time.monotonic()
    for text in ("\n" * 10**5, "a" * 10**6, "  a: " * 10**5, " " * 10**6, "TOTAL PSS: 1 " * 10**5):
        for parser in PARSERS:
            parser(text)
            parser("** MEMINFO in pid 1 [x] **\nMemory snapshot for GPU 0:\n" + text)
    assert time.monotonic() - began < 5


def _stands_in(number, text):
    return any(_as_number(word) == number for word in text.replace("=", ",").split(","))


def _as_number(word):
    try:
        return float(word)
    except ValueError:
        return None


def _without_zeros(text):
    return " ".join(word.lstrip("0") or "0" for word in text.replace(":", " ").split()) + text
