"""Samples as text: units, gaps, and text that is cut off or garbage."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgegen.device.sampling import missing_of, read_series
from edgegen.device.sampling import series as module

TEXT = """# edgegen samples 1
# clock uptime
# missing gpu_bytes neither kgsl nor dumpsys is there
# range.rapl_uj.0 1000
time_s,rss_kib,khz.cpu0,gpu_hz,millicelsius.cpu-0,battery_ua,battery_uv,dmabuf_bytes
# began 100.50
100.60,2048,1803000,680000000,61200,-812000,4012345,12:4096 15:8192
100.70,,1804000,,,,,
100.80,4096,,,-1000,5,0,0
# timed_out 3
# ended 124
"""


def test_units_gaps_and_facts():
    series = read_series(TEXT)
    assert series.columns["time_s"] == pytest.approx([0.1, 0.2, 0.3])
    assert series.columns["rss_bytes"] == (2048 * 1024, None, 4096 * 1024)
    assert series.columns["khz.cpu0"] == (1803000, 1804000, None)
    assert series.columns["gpu_khz"] == (680000, None, None)
    assert series.columns["celsius.cpu-0"] == (61.2, None, -1)
    assert series.columns["battery_ma"] == (-812, None, 0.005)
    assert series.columns["battery_mv"] == (4012.345, None, 0)
    assert series.columns["dmabuf_bytes"] == (12288, None, 0)
    assert series.missing == {"gpu_bytes": "neither kgsl nor dumpsys is there"}
    assert series.facts["range.rapl_uj.0"] == "1000"
    assert (series.timed_out, series.whole, series.dropped_rows) == (True, True, 0)
    assert series.values("rss_bytes") == [2048 * 1024, 4096 * 1024]
    assert series.values("pss_bytes") == []
    assert series.group("celsius") == ["celsius.cpu-0"]


def test_a_buffer_that_is_open_twice_counts_once():
    series = read_series("time_s,dmabuf_bytes\n1,7:4096 7:4096 8:1\n2,7:\n3,7:1 x\n")
    assert series.columns["dmabuf_bytes"] == (4097, None, None)


def test_two_sensors_by_one_name():
    series = read_series("time_s,millicelsius.tz,millicelsius.tz\n0,1000,2000\n")
    assert series.columns["celsius.tz"] == (1,)
    assert series.columns["celsius.tz.2"] == (2,)


def test_text_that_is_cut_off_anywhere_tells_nothing_new():
    whole = read_series(TEXT)
    for end in range(1, len(TEXT)):
        cut = read_series(TEXT[:end])
        assert set(cut.columns) <= set(whole.columns)
        for name, values in cut.columns.items():
            if "began" in cut.facts or name != "time_s":
                assert values == whole.columns[name][: len(values)]
        assert set(cut.missing.items()) <= set(whole.missing.items())
        assert set(cut.facts.items()) <= set(whole.facts.items())


@pytest.mark.parametrize(
    "row", ["1.5,7", "1.5,7,8,9", ",7,8", "0.5,7,8", "x,7,8", "nan,7,8", "-", '"1.5",7,8']
)
def test_rows_that_are_not_whole_are_dropped(row):
    series = read_series(f"time_s,a,b\n1,1,2\n{row}\n2,3,4\n")
    assert series.columns == {"time_s": (0, 1), "a": (1, 3), "b": (2, 4)}
    assert series.dropped_rows == 1


@pytest.mark.parametrize(
    "cell", ["nan", "inf", "1e9", "0x10", "1_0", "\u0661", "9" * 20, " 1", "-"]
)
def test_what_is_no_number_is_no_value(cell):
    assert read_series(f"time_s,a\n1,{cell}\n").columns["a"] == (None,)


@pytest.mark.parametrize("text", ["", "\n", "x\n", "a,b\n1,2\n", "time_s", "# time_s\n"])
def test_text_without_samples(text):
    series = read_series(text)
    assert dict(series.columns) == {}
    assert missing_of(series)["samples"] == "not one sample was taken"


def test_line_ends_of_an_old_device():
    assert read_series(TEXT.replace("\n", "\r\n")) == read_series(TEXT)


def test_what_is_empty_throughout_is_missing():
    text = "# missing x closed\ntime_s,pss_kib,millicelsius.a,millicelsius.b\n1,,,3\n2,,,\n"
    assert missing_of(read_series(text)) == {
        "x": "closed",
        "pss_bytes": "nothing could be read while it ran",
    }


def test_sizes_are_bounded(monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(module, "ROW_LIMIT", 3)
        assert len(read_series("time_s\n" + "1\n" * 9).columns["time_s"]) == 3
    assert dict(read_series("time_s" + ",a" * 600 + "\n").columns) == {}
    many = "".join(f"# missing a{n} b\n# f{n} c\n" for n in range(2000))
    series = read_series(f"{many}time_s\n1\n")
    assert len(series.missing) + len(series.facts) == 1024
    monkeypatch.setattr(module, "TEXT_LIMIT", 20)
    assert read_series("time_s\n" + "1\n" * 99).columns["time_s"] == (0,) * 6


def test_no_text_takes_long():
    began = time.monotonic()
    for text in ("," * 4_000_000, "#" * 4_000_000, "\n" * 4_000_000, "time_s\n" + "1:1 " * 10**6):
        read_series(text + "\n")
    assert time.monotonic() - began < 5


PIECES = st.sampled_from(
    ["time_s", "rss_kib", ",", "\n", "1", "2.5", "-", ":", " ", "#", "missing", "began", "\r", "\0"]
)


@settings(deadline=None)
@given(st.lists(PIECES, max_size=80).map("".join) | st.text(max_size=300))
def test_any_text_is_read_and_nothing_is_invented(text):
    series = read_series(text)
    missing_of(series)
    lengths = {len(values) for values in series.columns.values()}
    assert len(lengths) <= 1
    rows = text.count("\n")
    assert sum(lengths) <= rows
    for name, values in series.columns.items():
        for value in values:
            # Only digits that stand there become numbers.
            assert value is None or any(character.isdigit() for character in text), name


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 10**9), st.none() | st.integers(-(10**18), 10**18)), max_size=30
    )
)
def test_what_is_written_is_read(rows):
    rows.sort(key=lambda row: row[0])
    text = "time_s,rapl_uj.0\n" + "".join(
        f"{time_s},{'' if value is None else value}\n" for time_s, value in rows
    )
    series = read_series(text)
    assert list(series.columns.get("rapl_uj.0", ())) == [
        None if value is None else float(value) for _, value in rows
    ]
    assert list(series.columns.get("time_s", ())) == [
        float(time_s - rows[0][0]) for time_s, _ in rows
    ]
