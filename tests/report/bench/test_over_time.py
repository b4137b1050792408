"""Samples over time: from rows that nobody vouches for, thinned without losing a peak."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgegen.report.bench import CellSummary, render_html, report_of
from edgegen.report.bench.over_time import charts_of
from edgegen.report.bench.time_chart import thinned, time_chart
from tests.report.bench.examples import record

UNREADABLE = "the samples over time cannot be read"
ELSEWHERE = "the samples over time are not in the benchmark's folder"


def benchmark(folder: Path, series: str) -> CellSummary:
    folder.mkdir(exist_ok=True)
    row = record(series=series)
    (folder / "records.jsonl").write_bytes(msgspec.json.encode(row) + b"\n")
    report = report_of([folder])
    render_html(report)  # which must not crash
    return report.cells[0]


@pytest.mark.parametrize("series", ["../secret.csv", "/etc/hostname", "link.csv", "."])
def test_no_file_outside_the_folder_is_read_for_a_row(tmp_path: Path, series: str) -> None:
    (tmp_path / "secret.csv").write_text("time_s,rss_bytes\n0,1\n1,2\n")
    folder = tmp_path / "a"
    folder.mkdir()
    (folder / "link.csv").symlink_to(tmp_path / "secret.csv")

    assert charts_of(benchmark(folder, series), folder) == (ELSEWHERE, [])


def test_a_path_that_cannot_be_followed_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    (folder / "loop").symlink_to("loop")
    (folder / "forbidden.csv").write_text("time_s,rss_bytes\n0,1\n1,2\n")
    (folder / "forbidden.csv").chmod(0)

    assert charts_of(benchmark(folder, "n" * 5000), folder) == (UNREADABLE, [])
    # Newer Pythons resolve a loop to a path, which is no file.
    assert charts_of(benchmark(folder, "loop"), folder)[0] in (UNREADABLE, ELSEWHERE)
    if os.geteuid() != 0:  # who may read everything
        assert charts_of(benchmark(folder, "forbidden.csv"), folder) == (UNREADABLE, [])


@pytest.mark.parametrize("error", [OSError("x"), ValueError("x"), RuntimeError("x")])
def test_a_file_that_cannot_be_read_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    folder = tmp_path / "a"
    cell = benchmark(folder, "x.csv")
    (folder / "x.csv").write_text("time_s,rss_bytes\n0,1\n1,2\n")

    def refuse(path: Path, mode: str = "r") -> None:
        raise error

    monkeypatch.setattr(Path, "open", refuse)
    assert charts_of(cell, folder) == (UNREADABLE, [])


def test_samples_that_are_too_many_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgegen.report.bench import over_time

    folder = tmp_path / "a"
    cell = benchmark(folder, "x.csv")
    (folder / "x.csv").write_text("time_s,rss_bytes\n0,1\n1,2\n")
    monkeypatch.setattr(over_time, "_MAX_BYTES", 10)
    assert charts_of(cell, folder) == ("the samples over time are more than 10 bytes", [])


@given(st.lists(st.integers(0, 1000), min_size=2, max_size=2000))
def test_thinning_keeps_both_ends_and_both_extremes(values: list[int]) -> None:
    points = [(float(at), float(value)) for at, value in enumerate(values)]
    fewer = thinned(points)

    assert len(fewer) <= 242
    assert set(fewer) <= set(points)
    assert fewer == sorted(fewer)
    assert (fewer[0], fewer[-1]) == (points[0], points[-1])
    for extreme in (min, max):
        assert extreme(v for _, v in fewer) == extreme(v for _, v in points)


def test_thinning_keeps_the_lows_and_highs_of_each_stretch() -> None:
    """Spikes and dips of one sample, none of which is the highest or lowest of all."""
    points = [(float(at), 50.0) for at in range(10_000)]
    for at in range(500, 10_000, 1000):
        points[at] = (float(at), 90.0 + at / 10_000)
        points[at + 1] = (float(at + 1), 10.0 - at / 10_000)

    assert {p for p in points if p[1] != 50.0} <= set(thinned(points))


def test_stacked_areas_add_up() -> None:
    chart = time_chart("x", {"a": [(0, 1), (1, 2)], "b": [(0, 10), (1, 20)]}, stacked=True)
    assert chart is not None
    assert [text for _, text in chart.y_ticks] == ["0", "10", "20", "30"]  # 2 + 20 is highest
    assert time_chart("x", {"a": []}) is None


def test_a_stack_keeps_the_peaks_of_each_of_its_lines() -> None:
    """Both peaks are short, and at other times."""
    own = [(float(at), 100.0) for at in range(5000)]
    mapped = [(float(at), 50.0) for at in range(5000)]
    own[1234], mapped[3456] = (1234.0, 800.0), (3456.0, 700.0)
    chart = time_chart("x", {"own": own, "mapped": mapped}, stacked=True)

    assert chart is not None
    assert chart.table == (("own", "100", "800", "100"), ("mapped", "50", "700", "50"))
    assert chart.y_ticks[-1][1] in ("1,000", "900")
    top = chart.y_ticks[-1][1].replace(",", "")
    # 850 and 800 of the scale, from above.
    for peak in (850, 800):
        assert f" {1000 - peak / float(top) * 1000:.1f}" in chart.drawing


def test_lines_of_different_times_are_no_stack() -> None:
    even = [(float(at), 1.0) for at in range(0, 10, 2)]
    odd = [(float(at), 1.0) for at in range(1, 10, 2)]
    assert time_chart("x", {"a": even, "b": odd}, stacked=True) is None
    assert time_chart("x", {"a": even, "b": []}, stacked=True) is None


def test_memory_that_was_read_in_turns_falls_back_to_the_whole(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    cell = benchmark(folder, "x.csv")
    rows = [
        f"{at},{at + 900 * 1024**2},{at if at % 2 else ''},{'' if at % 2 else at}"
        for at in range(600)
    ]
    text = "\n".join(["time_s,rss_bytes,rss_anon_bytes,rss_file_bytes", *rows, ""])
    (folder / "x.csv").write_text(text)
    which, (chart,) = charts_of(cell, folder)

    assert which == "run 1, the one nearest the median of 1"
    assert chart.legend == ((0, "RSS"),)
    assert chart.table == (("RSS", "900", "900", "900"),)


def test_lines_that_are_left_out_are_counted() -> None:
    lines = {f"cpu{at}": [(0.0, 1.0), (1.0, at)] for at in range(11)}
    chart = time_chart("Clocks", lines)

    assert chart is not None
    assert chart.title == "Clocks (3 more lines are left out)"
    assert len(chart.legend) == 8
