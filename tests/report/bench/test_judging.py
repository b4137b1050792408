"""What fails a build: slower speeds and lost results, the same for verbs, JSON and the page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edgegen.device.bench.record import Failure, Memory, Metrics, Record
from edgegen.report.bench import (
    RecordsError,
    Report,
    RunComparison,
    compare_cells,
    judgement_of,
    render_html,
    report_dict,
    report_of,
    summaries_of,
)
from edgegen.report.bench.comparing import ComparedCell, ComparedFigure
from edgegen.report.bench.judging import judge
from edgegen.report.bench.rows import advice
from edgegen.report.statistics import compare
from tests.report.bench.examples import runs, write_run

ROWS = [row for row, _ in runs(seed=3, kept=7, failures=False)]
CRASH = Failure("crashed", "it ended")


def failed(row: Record) -> Record:
    return replace(row, metrics=None, memory=Memory(), energy=None, failure=CRASH)


def beside(rows: list[Record], *, limit: float = 0.05, subset: bool = False) -> RunComparison:
    """Compare rows with the seven kept runs of each of eight cells."""
    return compare_cells(
        summaries_of(ROWS), summaries_of(rows), slower_limit=limit, names=("old", ""), subset=subset
    )


def lost(rows: list[Record], **options: bool) -> list[str]:
    found = judgement_of(beside(rows, **options)).findings
    return [finding.message for finding in found if finding.kind == "lost"]


def without_decode(row: Record) -> Record:
    assert row.metrics is not None
    return replace(row, metrics=replace(row.metrics, decode_tokens_per_s=None))


@pytest.mark.parametrize(
    ("change", "cells", "message"),
    [
        (
            lambda row: None if row.delegate == "gpu" else row,
            4,
            "only in the baseline, or not to be put beside one",
        ),
        (
            lambda row: failed(row) if row.delegate == "gpu" else row,
            4,
            "no result any more",
        ),
        (lambda row: replace(row, metrics=Metrics()), 8, "decode: 0 results, the baseline has 7"),
        (without_decode, 8, "decode: 0 results, the baseline has 7"),
    ],
)
def test_lost_results_are_regressions(
    change: Callable[[Record], Record | None], cells: int, message: str
) -> None:
    rows = [now for row in ROWS if (now := change(row)) is not None]

    assert lost(rows).count(message) == cells
    assert judgement_of(beside(rows)).regressed


def test_a_cell_of_which_one_run_is_left_is_a_regression() -> None:
    """One kept run is too few to compare, and neither slower nor without any result."""
    rows = [failed(row) if row.delegate == "gpu" and row.index > 2 else row for row in ROWS]
    gpu = next(c for c in beside(rows).cells if c.candidate.example.delegate == "gpu")

    assert gpu.figures == ()
    assert not gpu.lost
    found = [f for f in judgement_of(beside(rows)).findings if f.cell.startswith(gpu_title(gpu))]
    assert [finding.message for finding in found if finding.kind == "lost"] == [
        "decode: 1 results, the baseline has 7",
        "prefill: 1 results, the baseline has 7",
        "time to first token: 1 results, the baseline has 7",
        "6 of 9 runs failed (crashed), 0 of 9 of the baseline's",
    ]


def gpu_title(cell: ComparedCell) -> str:
    from edgegen.report.bench.titles import title

    return title(cell.candidate)


def test_one_failure_more_is_lost_and_as_many_are_not() -> None:
    few = [failed(row) if row.index == 3 else row for row in ROWS]
    assert set(lost(few)) == {"1 of 9 runs failed (crashed), 0 of 9 of the baseline's"}

    same = compare_cells(summaries_of(few), summaries_of(few))
    assert not judgement_of(same).regressed


def test_a_device_that_was_away_for_a_while_lost_nothing() -> None:
    away = replace(failed(ROWS[3]), failure=Failure("device_lost", "it is gone"))
    assert lost([*ROWS, away]) == []
    # Unless nothing came after it.
    assert set(lost([replace(away, cell=row.cell, device=row.device) for row in ROWS[:1]])) == {
        "no result any more",
        "only in the baseline, or not to be put beside one",
    }


def test_a_result_of_0_is_none() -> None:
    rows = [replace(row, metrics=replace(row.metrics, ttft_ms=0.0)) for row in ROWS if row.metrics]
    assert set(lost(rows)) == {"time to first token: a result is 0, which cannot be compared"}


def test_who_was_asked_for_a_subset_lost_nothing() -> None:
    comparison = beside([row for row in ROWS if row.delegate == "cpu"], subset=True)
    judged = judgement_of(comparison)

    assert not judged.regressed
    assert (
        [f.message for f in judged.findings if f.kind == "note"].count("only in the baseline")
        == len(comparison.only_baseline)
        == 4
    )
    # In the cells that were measured a loss is one still.
    assert judgement_of(beside([failed(ROWS[2])], subset=True)).regressed


def test_the_same_rows_pass_and_rows_of_other_settings_are_no_pass() -> None:
    regressed, lines = judge([beside(ROWS)])
    assert not regressed
    assert not any(line.startswith(("slower: ", "lost: ")) for line in lines)

    others = beside([replace(row, threads=1) for row in ROWS])
    with pytest.raises(RecordsError) as caught:
        judge([others])
    assert (caught.value.message, caught.value.hint) == (
        "no cell of the baseline could be compared with one of this benchmark",
        "device, runner, delegate, workload and settings must be the same, with 2 results of "
        "each at least",
    )


def figure(name: str, repeats: int | None) -> ComparedFigure:
    found = compare([10.0, 11.0, 12.0], [10.0, 11.0, 12.0], higher_is_better=True, advise=False)
    return ComparedFigure(name, replace(found, repeats_advised=repeats))


@pytest.mark.parametrize(
    ("figures", "advised"),
    [
        (((("decode_tokens_per_s"), 20), ("ttft_ms", 45)), "to decide, about --repeats 45 of each"),
        (
            (("decode_tokens_per_s", 200),),
            "to decide, --repeats 200 or more of each; quiet the machine",
        ),
        ((("decode_tokens_per_s", None), ("init_ms", 50)), None),
    ],
)
def test_advice_is_of_all_speeds_and_knows_its_end(
    figures: tuple[tuple[str, int | None], ...], advised: str | None
) -> None:
    (cell, *_) = beside(ROWS).cells
    assert advice(replace(cell, figures=tuple(figure(*each) for each in figures))) == advised


def card(report: Report) -> str:
    page = render_html(report)
    start = page.index("<h2>Beside ")
    return " ".join(page[start : page.index("</div>", start)].split())


def test_the_headline_of_the_page_is_the_exit_status(tmp_path: Path) -> None:
    """Only the first token is late, and within one limit but not within another."""

    def later(row: Record) -> Record:
        assert row.metrics is not None
        return replace(row, metrics=replace(row.metrics, ttft_ms=1.5 * (row.metrics.ttft_ms or 0)))

    rows = runs(seed=3, kept=10, failures=False)
    old = write_run(tmp_path / "old", rows)
    new = write_run(tmp_path / "new", [(later(row), csv) for row, csv in rows])

    strict = report_of([new], baseline=old, slower_limit=0.05)
    assert judge(strict.comparisons)[0]
    assert '<p class="value">slower <' in card(strict)
    assert "limit 5 %, 24 speeds compared: 8 slower" in card(strict)
    loose = report_of([new], baseline=old, slower_limit=0.9)
    assert not judge(loose.comparisons)[0]
    assert '<p class="value">not slower <' in card(loose)
    assert "limit 90 %, 24 speeds compared: 24 within it" in card(loose)

    few = [(failed(row) if row.index > 2 else row, csv) for row, csv in rows]
    gone = report_of([write_run(tmp_path / "few", few)], baseline=old, slower_limit=0.05)
    assert '<p class="value">results lost <' in card(gone)
    (told,) = report_dict(gone)["comparison"]
    assert told["regressed"]
    assert told["findings"][0]["message"] == "decode: 1 results, the baseline has 10"
