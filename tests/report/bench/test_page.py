"""The page: whole without a network, escaped, and in a real browser at a phone's width."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from edgegen.report.bench import Report, render_html, report_of
from edgegen.report.bench.over_time import charts_of
from edgegen.report.bench.svg import ticks
from edgegen.report.bench.time_chart import thinned, time_chart
from tests.engines.browser_page import browser_page
from tests.engines.contrast import assert_contrast
from tests.report.bench.examples import record, write_run
from tests.report.bench.test_exports import EVIL, hostile

VOID = {"meta", "link", "br", "hr", "img", "input"}


class Balanced(HTMLParser):
    """Notes elements that are not closed in order, and all names of elements."""

    def __init__(self) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.seen.add(tag)
        if tag not in VOID:
            self.stack.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag


def elements(page: str) -> set[str]:
    parser = Balanced()
    parser.feed(page)
    parser.close()
    assert parser.stack == []
    return parser.seen


def test_the_page_is_one_file_without_scripts(report: Report) -> None:
    page = render_html(report)

    assert "script" not in elements(page)
    assert re.findall(r"""(?:src|href)=["']?([^"'\s>]+)""", page) == ["data:,"]
    assert "url(" not in page
    assert "http://" not in page
    assert "https://" not in page
    for told in ("Beside old", "Failed runs", "Temperature, °C", "Provenance", "not on gpu"):
        assert told in page


def test_every_kept_run_is_a_dot_with_its_value(report: Report) -> None:
    page = render_html(report)
    cell = report.cells[0]

    for row, value in zip(cell.kept, cell.values["prefill_tokens_per_s"], strict=True):
        assert f"<title>run {row.index}: {value:.0f} tokens/s</title>" in page


def test_text_of_rows_is_never_markup(tmp_path: Path) -> None:
    page = render_html(hostile(tmp_path))

    assert "script" not in elements(page)
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "\x1b" not in page
    assert EVIL not in page


def test_a_page_of_failures_alone(tmp_path: Path) -> None:
    from edgegen.device.bench.record import Failure

    row = record(metrics=None, failure=Failure("crashed", "it ended"))
    page = render_html(report_of([write_run(tmp_path / "a", [(row, "")])]))

    elements(page)
    assert "it ended" in page


def test_no_file_outside_the_folder_is_read_for_a_row(tmp_path: Path) -> None:
    (tmp_path / "secret.csv").write_text("time_s,rss_bytes\n0,1\n1,2\n")
    row = replace(record(), series="../secret.csv")
    folder = tmp_path / "a"
    folder.mkdir()
    import msgspec

    (folder / "records.jsonl").write_bytes(msgspec.json.encode(row) + b"\n")
    (cell,) = report_of([folder]).cells

    assert charts_of(cell, folder) == (
        "the samples over time are not in the benchmark's folder",
        [],
    )


def test_ticks_are_round_and_reach_around() -> None:
    assert ticks(0, 63.7, 4) == [0, 20, 40, 60, 80]
    assert ticks(0, 0) == [0, 0.2, 0.4, 0.6, 0.8, 1]
    assert ticks(31.2, 46, 4) == [30, 35, 40, 45, 50]


def test_thinning_keeps_the_highest_and_the_last() -> None:
    points = [(float(at), 1.0) for at in range(10_000)]
    points[4321] = (4321.0, 99.0)
    fewer = thinned(points)

    assert len(fewer) < 300
    assert (4321.0, 99.0) in fewer
    assert fewer[-1] == points[-1]


def test_stacked_areas_add_up() -> None:
    chart = time_chart("x", {"a": [(0, 1), (1, 2)], "b": [(0, 10), (1, 20)]}, stacked=True)
    assert chart is not None
    assert [text for _, text in chart.y_ticks] == ["0", "10", "20", "30"]  # 2 + 20 is highest
    assert time_chart("x", {"a": []}) is None


@pytest.mark.web
def test_the_page_in_a_browser(report: Report, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(render_html(report), encoding="utf-8")
    with browser_page(gpu=False) as page:
        page.goto(path.as_uri())
        for width in (390, 1280):
            page.resize(width, 900)
            for scheme in ("light", "dark"):
                page.theme(scheme)
                wide = page.evaluate("() => document.documentElement.scrollWidth")
                assert wide <= width
                assert_contrast(page)
        names = {(each["role"], each["name"]) for each in page.accessible()}
        records = page.records()

    assert any(role == "image" and "tokens/s" in name for role, name in names)
    assert records["console"] == []
    assert records["errors"] == []
    assert records["violations"] == []
    assert all(url.startswith(("file:", "data:")) for url in records["requests"])
