"""Several benchmarks, and several bundles of one, in one report: whose number it is."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from edgegen.device.bench.record import BundleFacts, Record
from edgegen.report.bench import (
    RecordsError,
    render_cells_csv,
    render_html,
    render_markdown,
    render_terminal,
    report_dict,
    report_of,
)
from edgegen.report.bench.titles import title
from tests.report.bench.examples import BUNDLE, record, write_run

OLD = replace(BUNDLE, name="old.task", sha256="0123456789abcdef" * 4)
NEW = replace(BUNDLE, name="new.task", sha256="fedcba9876543210" * 4)
START = datetime(2026, 11, 23, 12, tzinfo=timezone.utc)


def kept(rate: float, minute: int, **changes: object) -> Record:
    began = (START + timedelta(minutes=minute)).isoformat()
    row = record(index=minute, started_at=began, **changes)
    assert row.metrics is not None
    return replace(row, metrics=replace(row.metrics, decode_tokens_per_s=rate))


def in_turns(folder: Path, *bundles: tuple[BundleFacts, float], pairs: int = 9) -> Path:
    """Write a benchmark of several bundles, whose runs take turns."""
    rows = [
        kept(rate + turn / 100, len(bundles) * turn + place, bundle=bundle, cell=bundle.sha256)
        for turn in range(pairs)
        for place, (bundle, rate) in enumerate(bundles)
    ]
    return write_run(folder, [(row, "") for row in rows])


def several(folder: Path, rate: float) -> Path:
    return write_run(folder, [(kept(rate + at / 100, at), "") for at in range(8)])


def test_two_bundles_of_one_benchmark_are_compared_in_pairs(tmp_path: Path) -> None:
    folder = in_turns(tmp_path / "ab", (OLD, 20.0), (NEW, 10.0))
    (found,) = report_of([folder], baseline_bundle="old.task", slower_limit=0.05).comparisons

    assert (found.baseline, found.candidate) == ("old.task", "new.task")
    (cell,) = found.cells
    assert cell.interleaved
    assert cell.figures[0].comparison.test == "Wilcoxon signed-rank on interleaved pairs"
    assert [each.name for each in cell.slower] == ["decode_tokens_per_s"]
    assert (found.only_baseline, found.only_candidate) == ((), ())
    # The same, written out and by the hash.
    assert report_of([folder], baseline=folder, baseline_bundle="012345").comparisons[0].cells
    told = render_terminal(report_of([folder], baseline_bundle="old.task"), terminal=False)
    assert "\nbeside old.task:\n" in told


def test_each_other_bundle_is_compared_on_its_own(tmp_path: Path) -> None:
    third = replace(NEW, name="third.task", sha256="77" * 32)
    folder = in_turns(tmp_path / "abc", (OLD, 20.0), (NEW, 10.0), (third, 30.0))
    found = report_of([folder], baseline_bundle="old.task").comparisons

    assert [each.candidate for each in found] == ["new.task", "third.task"]
    assert [each.cells[0].figures[0].comparison.verdict for each in found] == ["slower", "faster"]


def test_bundles_of_one_name_are_told_by_their_hash(tmp_path: Path) -> None:
    folder = in_turns(tmp_path / "ab", (OLD, 20.0), (replace(NEW, name="old.task"), 10.0))
    report = report_of([folder], baseline_bundle="0123456")

    (found,) = report.comparisons
    assert (found.baseline, found.candidate) == ("old.task (01234567)", "old.task (fedcba98)")
    assert [cell.apart for cell in report.cells] == ["bundle 01234567", "bundle fedcba98"]
    with pytest.raises(RecordsError) as caught:
        report_of([folder], baseline_bundle="old.task")
    assert (caught.value.message, caught.value.hint) == (
        "2 bundles of the baseline are called 'old.task'",
        "name one of them, or the first digits of its hash: "
        "old.task (01234567), old.task (fedcba98)",
    )


def test_what_cannot_be_compared_with_itself(tmp_path: Path) -> None:
    folder = in_turns(tmp_path / "ab", (OLD, 20.0))
    for baseline in (folder, folder / "records.jsonl"):
        with pytest.raises(RecordsError) as caught:
            report_of([folder], baseline=baseline)
        assert (caught.value.message, caught.value.hint) == (
            f"{baseline} would be compared with itself",
            "name another benchmark, or one bundle of this one: --baseline-bundle NAME",
        )
    with pytest.raises(RecordsError) as caught:
        report_of([folder], baseline_bundle="old.task")
    assert (caught.value.message, caught.value.hint) == (
        "ab has no bundle beside old.task",
        "measure both in one benchmark, in turns: edgegen bench OLD NEW --out FOLDER",
    )
    with pytest.raises(RecordsError) as caught:
        report_of([folder], baseline_bundle="x.task")
    assert (caught.value.message, caught.value.hint) == (
        "no bundle of the baseline is called 'x.task'",
        "name one of them, or the first digits of its hash: old.task (01234567)",
    )


def test_each_of_several_benchmarks_is_compared_with_the_baseline(tmp_path: Path) -> None:
    base, slow, fast = (
        several(tmp_path / name, rate) for name, rate in (("base", 20), ("slow", 10), ("fast", 30))
    )
    report = report_of([slow, fast], baseline=base)

    assert [each.candidate for each in report.comparisons] == ["slow", "fast"]
    verdicts = [each.cells[0].figures[0].comparison.verdict for each in report.comparisons]
    assert verdicts == ["slower", "faster"]
    text = render_terminal(report, terminal=False)
    assert "beside base: slow:" in text
    assert "beside base: fast:" in text
    assert "<h2>Beside base: fast</h2>" in render_html(report)
    assert "## Beside base: fast\n" in render_markdown(report)
    assert len(report_dict(report)["comparison"]) == 2


@pytest.mark.parametrize("count", [2, 4])
def test_of_several_benchmarks_each_number_tells_its_own(tmp_path: Path, count: int) -> None:
    names = ["ann", "bob", "cid", "dan"][:count]
    report = report_of([several(tmp_path / name, 20) for name in names])

    assert len({title(cell) for cell in report.cells}) == count
    for text in (
        render_terminal(report, terminal=False, width=250),
        render_markdown(report),
        render_html(report),
        render_cells_csv(report),
    ):
        assert all(name in text for name in names)


def test_one_benchmark_alone_is_not_repeated_in_its_titles(tmp_path: Path) -> None:
    (cell,) = report_of([several(tmp_path / "ann", 20)]).cells
    assert cell.apart == ""


def test_a_cell_that_is_split_tells_by_what(tmp_path: Path) -> None:
    engine = record().engine
    rows = [
        kept(20, 0),
        kept(20, 1, engine=replace(engine, version="0.19.0")),
        kept(20, 2, engine=replace(engine, version="0.19.0", files_sha256={"a": "b"})),
    ]
    found = report_of([write_run(tmp_path / "a", [(row, "") for row in rows])]).cells
    told = [cell.apart.split(", ") for cell in found]

    assert [each[0] for each in told] == ["engine 0.18.1", "engine 0.19.0", "engine 0.19.0"]
    assert len({tuple(each) for each in told}) == 3


def test_old_and_new_of_one_name_are_not_called_the_same(tmp_path: Path) -> None:
    old, new = (several(tmp_path / side / "bench", 20) for side in ("old", "new"))
    (found,) = report_of([new], baseline=old).comparisons

    assert (found.baseline, found.candidate) == ("old/bench", "new/bench")


def test_what_was_left_out_of_the_baseline_is_told(tmp_path: Path) -> None:
    old, new = several(tmp_path / "old", 20), several(tmp_path / "new", 20)
    with (old / "records.jsonl").open("ab") as file:
        file.write(b'{"schema')

    told = f"{old}/records.jsonl: line 9 was cut short and is left out"
    assert report_dict(report_of([new], baseline=old))["notes"] == [told]
