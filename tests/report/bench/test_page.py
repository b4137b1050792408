"""The page: whole without a network, escaped, and in a real browser at a phone's width."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgegen.device.bench.record import Failure
from edgegen.report.bench import Report, render_html, report_of
from edgegen.report.bench.svg import ticks
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
    row = record(metrics=None, failure=Failure("crashed", "it ended"))
    page = render_html(report_of([write_run(tmp_path / "a", [(row, "")])]))

    elements(page)
    assert "it ended" in page


def test_ticks_are_round_and_reach_around() -> None:
    assert ticks(0, 63.7, 4) == [0, 20, 40, 60, 80]
    assert ticks(0, 0) == [0, 0.2, 0.4, 0.6, 0.8, 1]
    assert ticks(31.2, 46, 4) == [30, 35, 40, 45, 50]


@given(
    st.floats(0, 2.0**63),
    st.floats(0, 2.0**63),
    st.integers(2, 8),
)
def test_ticks_reach_around_whatever_the_size(low: float, high: float, wanted: int) -> None:
    low, high = sorted((low, high))
    found = ticks(low, high, wanted)

    assert found[0] <= low * (1 + 1e-9)
    assert found[-1] >= high * (1 - 1e-9)
    assert found[-1] > found[0]
    assert len(found) <= 2 * wanted + 3


def test_small_steps_are_not_rounded_away() -> None:
    assert ticks(0, 1e-13, 4) == [0, 2.5e-14, 5e-14, 7.5e-14, 1e-13]
    assert ticks(5e-324, 1e-323)[0] <= 5e-324


def test_what_is_cut_is_counted(tmp_path: Path) -> None:
    failed = [
        record(index=at, metrics=None, failure=Failure("crashed", f"it ended {at}"))
        for at in range(103)
    ]
    missing = {f"source{at}": "why" for at in range(204)}
    kept = [replace(record(index=200 + at), missing=missing) for at in range(205)]
    (one,) = report_of([write_run(tmp_path / "a", [(row, "") for row in (*failed, *kept)])]).cells
    page = render_html(report_of([tmp_path / "a"]))

    assert len(one.kept) == 205
    assert "3 more failures are left out of this page" in page
    assert "5 more are left out of this page" in page  # with the one that those who failed miss
    assert "5 more runs are not drawn" in page


def test_cells_that_are_cut_are_counted(tmp_path: Path) -> None:
    def many(name: str, threads: range) -> Path:
        rows = [
            replace(record(index=at, threads=count), cell=f"t{count}")
            for count in threads
            for at in range(2)
        ]
        return write_run(tmp_path / name, [(row, "") for row in rows])

    report = report_of([many("new", range(1, 133))], baseline=many("old", range(70, 263)))
    page = render_html(report)

    assert "72 more cells are left out of this page" in page  # 132, of which 60 are shown
    assert "3 more compared cells are left out of this page" in page  # 70 to 132
    assert "70 more cells are only in the baseline" in page  # 133 to 262
    assert "9 more cells are only in this benchmark" in page  # 1 to 69


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
