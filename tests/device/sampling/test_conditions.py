"""The state of a device, asked of the double of a phone and of this machine."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgegen.device.bench.record import Conditions
from edgegen.device.sampling import conditions_of, cpu_capped
from edgegen.device.sampling.conditions import parse_caps, parse_zones
from edgegen.device.testing import DUMPSYS

POWER = "POWER MANAGER (dumpsys power)\n\nPower Manager State:\n  mWakefulness=Asleep\n"


@pytest.mark.parametrize(
    "way", ["adb-direct", "adb-direct, old device", "adb-direct, older device"]
)
def test_a_phone(reach, way):
    reached = reach(way, dumpsys={**DUMPSYS, "power": POWER})
    found = conditions_of(reached.transport)
    assert found.thermal_status_before == "none"
    # The HAL's processor, unless this machine, whose sysfs the double shows, is hotter.
    assert found.start_celsius is not None
    assert found.start_celsius >= 41.5
    assert (found.battery_percent, found.charging) == (83.0, True)
    assert found.screen_on is False
    assert (found.thermal_status_after, found.max_celsius, found.waited_s) == (None, None, 0.0)


def test_a_phone_that_tells_nothing(reach):
    silent = ("dumpsys", "cat", "timeout")
    assert conditions_of(reach("adb-direct", missing=silent).transport) == Conditions()
    assert cpu_capped(reach("adb-direct", missing=silent).transport) is None


def test_a_cache_of_temperatures_is_not_todays(reach):
    text = DUMPSYS["thermalservice"]
    old = text[: text.index("HAL Ready")].replace("30.1", "149.0")
    reached = reach("adb-direct", dumpsys={"thermalservice": old})
    found = conditions_of(reached.transport).start_celsius
    assert found is None or found < 149.0


def test_a_service_that_hangs_leaves_the_others(reach, monkeypatch):
    monkeypatch.setattr("edgegen.device.sampling.conditions._SERVICE_S", 1)
    hangs = """case "$1" in
battery) exec sleep 60 ;;
thermalservice) echo 'Thermal Status: 3' ;;
power) echo '  mWakefulness=Awake' ;;
esac
"""
    found = conditions_of(reach("adb-direct", commands={"dumpsys": hangs}).transport)
    assert (found.thermal_status_before, found.screen_on) == ("severe", True)


def test_this_machine(reach):
    found = conditions_of(reach("local").transport)
    assert (found.thermal_status_before, found.screen_on) == (None, None)
    assert found.cpu_max_khz_capped is cpu_capped(reach("local").transport)


def test_zones():
    assert parse_zones("cpu-0|61200\nbattery|30100\nvbat|99000\nx|-2000\n") == 61.2
    assert parse_zones("a|b|45000\n|44000\n") == 45.0
    assert parse_zones("soc|98000\nbroken|\n|\n\n") is None
    assert parse_zones("") is None


def test_caps():
    assert parse_caps("1803000|1803000\n2850000|2850000\n") is False
    assert parse_caps("1803000|1803000\n2200000|2850000\n") is True
    assert parse_caps("|\n|2850000\n2850000|\n0|0\n") is None
    assert parse_caps("") is None


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(["1", "90", "000", "|", "\n", "cpu", "-", "9" * 30]), max_size=40).map(
        "".join
    )
    | st.text(max_size=200)
)
def test_any_text_is_read(text):
    celsius = parse_zones(text)
    assert celsius is None or str(round(celsius * 1000)) in text
    parse_caps(text)
