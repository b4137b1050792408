"""What decode reads beside the copy rate: no more is said than the copy rate measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edgegen.device.sampling.memory_copy import parse_copy
from edgegen.report.bench import Report, render_html, render_markdown, render_terminal, report_of
from tests.report.bench.examples import GALAXY, record, write_run

DD = parse_copy("edgegen-copy dd 4 1024 1.0 1.1")
MEMMOVE = parse_copy("edgegen-copy memmove 4 1073741824 1.0 1.1")


def report(folder: Path, *methods: str | None, rate: float = 20e9) -> Report:
    rows = [
        record(device={**GALAXY, "serial": str(at), "model": f"M{at}"}, cell=f"c{at}")
        for at in range(len(methods))
    ]
    rows = [
        replace(row, memory_method=method, memory_bytes_per_s=rate)
        for row, method in zip(rows, methods, strict=True)
    ]
    return report_of([write_run(folder / "a", [(row, "") for row in rows])])


def told(shown: Report) -> tuple[str, str, str]:
    return (
        render_terminal(shown, terminal=False, width=250),
        render_markdown(shown),
        render_html(shown),
    )


def test_reading_alone_is_never_called_reading_and_writing(tmp_path: Path) -> None:
    assert DD is not None
    for text in told(report(tmp_path, DD[1])):
        assert "read alone; a lower bound" in text
        assert "page cache, read only, a lower bound" in text  # the method, whole
        assert "at most" not in text.replace("--repeats", "")
        assert "plus" not in text
        assert "written" not in text
        assert "at the copy rate" in text


def test_each_row_tells_its_own_method(tmp_path: Path) -> None:
    assert DD is not None
    assert MEMMOVE is not None
    for text in told(report(tmp_path, MEMMOVE[1], DD[1], "stream triad")):
        assert "read + written" in text.replace("\\", "")
        assert "read alone; a lower bound" in text
        assert "not told" in text
        for device, method in (("M0", "memmove of 1024 MiB"), ("M1", "4 dd"), ("M2", "stream")):
            assert f"Samsung {device}: {method}" in text


def test_more_than_the_copy_rate_is_explained(tmp_path: Path) -> None:
    shown = report(tmp_path, "x", rate=1e9)
    assert shown.cells[0].roofline is not None
    assert (shown.cells[0].roofline.share or 0) > 1
    for text in told(shown):
        assert (
            "reads faster than the copy benchmark: it is a lower bound, or weights came from a "
            "cache" in text
        )


def test_rates_of_two_methods_are_not_put_together(tmp_path: Path) -> None:
    rows = [
        record(index=at, memory_method=method, memory_bytes_per_s=rate)
        for at, (method, rate) in enumerate([("one", 1e9), ("two", 9e9), ("two", 9e9)])
    ]
    (cell,) = report_of([write_run(tmp_path / "a", [(row, "") for row in rows])]).cells

    assert cell.roofline is not None
    assert (cell.roofline.memory_method, cell.roofline.memory_bytes_per_s) == ("one", 1e9)


@pytest.mark.parametrize("method", [None, ""])
def test_a_method_that_was_not_told(tmp_path: Path, method: str | None) -> None:
    for text in told(report(tmp_path, method)):
        assert "not told" in text
