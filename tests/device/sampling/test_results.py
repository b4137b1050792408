"""Peaks and energy from samples."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgegen.device.bench.record import Memory
from edgegen.device.sampling import (
    Series,
    joules_of,
    max_celsius,
    memory_of,
    missing_of,
    read_series,
)
from edgegen.device.sampling.peaks import is_temperature


def series(**columns):
    return Series({name.replace("__", "."): tuple(values) for name, values in columns.items()})


def test_peaks_of_memory():
    found = memory_of(
        series(
            time_s=[0, 1, 2],
            rss_bytes=[5, 9, 3],
            hwm_bytes=[5, 10, 10],
            rss_anon_bytes=[1, 2, None],
            rss_file_bytes=[4, 7, 0],
            pss_bytes=[None, 8, None],
            gpu_bytes=[None, 30, 20],
            dmabuf_bytes=[0, 0, 0],
        )
    )
    assert found == Memory(10, 2, 7, 8, 30, 0)


def test_pss_that_was_read_long_before_the_peak_is_none_of_it():
    early = series(time_s=[0, 1, 2], rss_bytes=[5, 90, 100], pss_bytes=[4, None, None])
    assert memory_of(early).peak_pss_bytes is None
    assert missing_of(early)["pss_bytes"] == (
        "it is read rarely, and was not while memory was highest"
    )
    near = series(time_s=[0, 1, 2], rss_bytes=[5, 90, 100], pss_bytes=[4, 60, None])
    assert memory_of(near).peak_pss_bytes == 60
    assert "pss_bytes" not in missing_of(near)


def test_parts_of_a_peak_between_two_samples_are_not_known():
    columns = {
        "time_s": [0, 1],
        "rss_bytes": [50, 89],
        "hwm_bytes": [50, 100],
        "rss_anon_bytes": [40, 60],
        "rss_file_bytes": [10, 29],
        "pss_bytes": [45, 80],
    }
    missed = series(**columns)
    assert memory_of(missed) == Memory(100)
    assert missing_of(missed) == {
        "rss_anon_bytes": "memory was highest between two samples",
        "rss_file_bytes": "memory was highest between two samples",
        "pss_bytes": "it is read rarely, and was not while memory was highest",
    }
    seen = series(**{**columns, "hwm_bytes": [50, 98]})
    assert memory_of(seen) == Memory(98, 60, 29, 80)
    assert missing_of(seen) == {}
    # The process itself may tell of a higher mark than the last sample.
    assert memory_of(seen, 120) == Memory(120)
    assert set(missing_of(seen, 120)) == {"rss_anon_bytes", "rss_file_bytes", "pss_bytes"}


def test_parts_are_those_of_one_moment():
    loading = series(
        time_s=[0, 1],
        rss_bytes=[95, 100],
        rss_anon_bytes=[90, 20],
        rss_file_bytes=[5, 80],
    )
    assert memory_of(loading) == Memory(100, 20, 80)


def test_without_the_kernels_mark_the_highest_sample_counts():
    assert memory_of(series(time_s=[0, 1], rss_bytes=[5, 9])) == Memory(9)
    assert memory_of(Series()) == Memory()


def test_the_highest_temperature():
    assert max_celsius(series(celsius__a=[20.0, 61.2], celsius__b=[50.0, None])) == 61.2
    assert max_celsius(Series()) is None
    odd = {"soc": 99.0, "socd": 98.0, "vbat": 97.0, "ibat-lvl0": 96.0, "pm8150-bcl-lvl1": 95.0}
    assert max_celsius(Series({f"celsius.{name}": (value,) for name, value in odd.items()})) is None


@pytest.mark.parametrize("celsius", [-273.0, -40.0, 0.0, 150.0, 1000.0])
def test_what_no_device_can_have_is_no_temperature(celsius):
    assert not is_temperature("cpu", celsius)


def test_zones_of_other_makers_are_temperatures():
    assert all(is_temperature(zone, 40.0) for zone in ("soc-thermal", "battery", "CPU0", ""))


TIMES = [0.0, 1.0, 3.0]


def battery(milliamps, *, millivolts=(4000, 4000, 4000), discharging=(1, 1, 1)):
    return series(
        time_s=TIMES,
        battery_ma=milliamps,
        battery_mv=millivolts,
        battery_discharging=discharging,
    )


def test_energy_of_a_battery_by_trapezoids():
    # 2 W, 4 W, 8 W: 3 J in the first second, 12 J in the next two.
    assert joules_of(battery([500, 1000, 2000])) == (pytest.approx(15.0), "battery")
    assert joules_of(battery([-500, -1000, -2000])) == (pytest.approx(15.0), "battery")
    lower = battery([500, 500, 500], millivolts=(4000, 2000 + 1, 4000))
    assert joules_of(lower)[0] == pytest.approx(4.5, rel=1e-3)


def test_gaps_between_samples_of_the_battery_are_bridged():
    assert joules_of(battery([500, None, 500])) == (pytest.approx(6.0), "battery")


FED = "the battery was not discharging all the time, so the plug gave some of the energy"
NO_VOLTS = "what the battery tells as its voltage is none in microvolts"
NO_AMPERES = "what the battery tells as its current is none in microamperes"


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ({"discharging": (0, 0, 0)}, FED),
        ({"discharging": (1, 0, 1)}, FED),
        (
            {"discharging": (None, None, None)},
            "the battery does not tell whether it is being charged",
        ),
        ({"millivolts": (4, 4, 4)}, NO_VOLTS),  # told in millivolts
        ({"millivolts": (4e6, 4e6, 4e6)}, NO_VOLTS),
        ({"millivolts": (None, None, 4000)}, "the battery was sampled less than twice"),
        ({"milliamps": (0.5, 0.5, 0.5)}, NO_AMPERES),  # told in milliamperes
        ({"milliamps": (0, 0, 0)}, NO_AMPERES),
        ({"milliamps": (500, -500, 600)}, "the battery's current changed its direction"),
    ],
)
def test_what_a_battery_cannot_tell_is_missing(told, why):
    found = battery(**{"milliamps": (500, 500, 500), **told})
    assert joules_of(found) is None
    assert missing_of(found)["joules"] == why


def test_energy_of_counters():
    text = "# range.rapl_uj.0 1000000\ntime_s,rapl_uj.0,rapl_uj.1\n0,400000,5\n1,900000,7\n2,,9\n"
    assert joules_of(read_series(text)) == (pytest.approx(0.500004), "rapl")
    wrapped = text + "3,100000,11\n4,200000,12\n"
    assert joules_of(read_series(wrapped)) == (pytest.approx(0.800007), "rapl")


AGAIN = "a counter of energy began again, and nothing tells its range"
ONCE = "a counter of energy was read less than twice"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("time_s,rapl_uj.0\n0,900\n1,100\n", AGAIN),
        ("# range.rapl_uj.0 x\ntime_s,rapl_uj.0\n0,900\n1,100\n", AGAIN),
        ("# range.rapl_uj.0 800\ntime_s,rapl_uj.0\n0,900\n1,100\n", AGAIN),
        ("time_s,rapl_uj.0\n0,900\n", ONCE),
        ("time_s,rapl_uj.0,rapl_uj.1\n0,900,1\n1,950,\n", ONCE),
        ("time_s,rapl_uj.0\n0,900\n1,900\n", "the counters of energy stood still"),
        ("time_s\n0\n", None),
        ("", None),
    ],
)
def test_counters_that_tell_nothing(text, why):
    found = read_series(text)
    assert joules_of(found) is None
    assert missing_of(found).get("joules") == why


def test_a_battery_goes_before_counters():
    both = Series({**battery([500, 500, 500]).columns, "rapl_uj.0": (0.0, 1e6, 2e6)})
    assert joules_of(both) == (pytest.approx(6.0), "battery")
    charging = Series({**both.columns, "battery_discharging": (0.0, 0.0, 0.0)})
    assert joules_of(charging) == (pytest.approx(2.0), "rapl")


NUMBERS = st.none() | st.floats(-1e18, 1e18)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 1e9), NUMBERS, NUMBERS, NUMBERS, NUMBERS), max_size=20),
    st.text(max_size=20),
)
def test_any_series_has_an_answer(rows, told):
    names = ("time_s", "battery_ma", "battery_mv", "battery_discharging", "rapl_uj.0")
    columns = {name: tuple(row[index] for row in rows) for index, name in enumerate(names)}
    found = joules_of(Series(columns, facts={"range.rapl_uj.0": told}))
    assert found is None or (found[0] > 0 and found[1] in ("battery", "rapl"))
    memory_of(Series(columns))
    max_celsius(Series(columns))
