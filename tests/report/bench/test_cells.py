"""From rows to cells: what counts, what is told apart, and what a reader is warned of."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from edgegen.device.bench.record import Conditions, Energy, Failure, Memory, Metrics, Record
from edgegen.report.bench import CellSummary, compare_cells, judgement_of, summaries_of
from edgegen.report.bench.cells import timed_values
from tests.report.bench.examples import PIXEL, record


def kept(rate: float, index: int = 1, **changes: Any) -> Record:
    base = record(index=index, started_at=f"2026-11-23T12:{index:02}:00Z", **changes)
    assert base.metrics is not None
    metrics = replace(base.metrics, decode_tokens_per_s=rate, prefill_tokens_per_s=10 * rate)
    return replace(base, metrics=metrics)


def cell(*rates: float, **changes: Any) -> CellSummary:
    (found,) = summaries_of([kept(r, i, **changes) for i, r in enumerate(rates)])
    return found


def test_only_kept_runs_count_and_cold_initialization_stands_apart() -> None:
    cold = kept(1.0, 0, phase="cold")
    cold = replace(cold, metrics=Metrics(init_ms=5000.0, decode_tokens_per_s=1.0))
    failed = record(
        index=5, metrics=None, failure=Failure("crashed", "it ended", "look"), memory=Memory()
    )
    rows = [
        cold,
        kept(2.0, 1, phase="warmup"),
        *(kept(r, i) for i, r in enumerate((20, 21, 22), 2)),
    ]
    (found,) = summaries_of([*rows, failed])

    assert found.values["decode_tokens_per_s"] == (20.0, 21.0, 22.0)
    assert found.summaries["decode_tokens_per_s"].median == 21.0
    assert found.cold_init_ms is not None
    assert found.cold_init_ms.median == 5000.0
    assert found.summaries["init_ms"].maximum == 812.0
    assert [(f.index, f.failure.kind, f.failure.hint) for f in found.failures] == [
        (5, "crashed", "look")
    ]


def test_rows_of_one_cell_with_another_file_engine_or_device_are_told_apart() -> None:
    base = record()
    rows = [
        base,
        replace(base, bundle=replace(base.bundle, sha256="00" * 32)),
        replace(base, engine=replace(base.engine, version="0.19.0")),
        replace(base, device={**PIXEL, "serial": "another"}),
        base,
    ]
    assert [len(found.kept) for found in summaries_of(rows)] == [2, 1, 1, 1]


def test_rates_that_were_not_asked_for_are_no_results() -> None:
    prefill = cell(20, 21, decode_tokens=0, workload="pp512")
    decode = cell(20, 21, prefill_tokens=0, workload="tg128")

    assert "decode_tokens_per_s" not in prefill.values
    assert {"prefill_tokens_per_s", "ttft_ms"}.isdisjoint(decode.values)


def test_the_roofline_is_weights_and_the_mean_context() -> None:
    bundle = replace(
        record().bundle, weight_bytes_per_decode=400_000_000, kv_bytes_per_token=100_000
    )
    found = cell(
        10,
        20,
        30,
        bundle=bundle,
        depth=100,
        prefill_tokens=200,
        decode_tokens=99,
        memory_bytes_per_s=20e9,
    ).roofline

    assert found is not None
    assert found.mean_context_tokens == 350  # 100 + 200, then the 1st to the 99th of its own
    assert found.bytes_per_token == 400e6 + 35e6
    assert found.bytes_per_s == 435e6 * 20
    assert found.share == pytest.approx(0.435)
    assert found.tokens_per_s_at_copy_rate == pytest.approx(20e9 / 435e6)


def test_no_roofline_without_weights_and_no_share_without_a_copy_rate() -> None:
    unknown = replace(record().bundle, weight_bytes_per_decode=None)

    assert cell(20, bundle=unknown).roofline is None
    found = cell(20, memory_bytes_per_s=None).roofline
    assert found is not None
    assert found.share is None
    assert found.bytes_per_s > 0


def test_what_takes_something_away_from_the_numbers_is_told() -> None:
    base = record()
    software = replace(base.engine, gpu_adapter="SwiftShader Device (Subzero)")
    conditions = Conditions("none", "severe", None, None, 0.0, True, None, True, None)
    notes = cell(
        20,
        20,
        engine=software,
        conditions=conditions,
        prefill_padded_tokens=1024,
        energy=Energy(1.0, 0.1, "battery"),
        memory_bytes_per_s=1e9,
    ).notes

    assert notes == (
        "this GPU is emulated in software; its speeds mean nothing",
        "a CPU's clock was capped in 2 of 2 runs",
        "the device said 'severe' of its heat after 2 of 2 runs",
        "2 of 3 runs that an interval needs: --repeats 5 or more",
        "the prompt of 512 tokens is computed as 1024: no prefill signature has its length",
        "the battery was being charged, so energy is not what the run took",
        "decode reads faster than the copy benchmark: it is a lower bound, or weights came from "
        "a cache",
    )
    assert cell(20, 20, 20).notes == ()


def test_runs_that_grow_slow_are_called_throttled() -> None:
    falling = cell(*(20 * 0.95**i for i in range(10)))

    assert falling.drift is not None
    assert falling.drift.throttled
    assert any(note.startswith("throttled: ") for note in falling.notes)


def test_runs_that_bear_one_time_have_no_order() -> None:
    """Sorted by their values they would be a perfect rise."""
    rates = [20.0, 26.0, 21.0, 27.0, 22.0, 28.0, 23.0, 29.0, 24.0, 25.0]
    rows = [
        replace(kept(rate, at), started_at="2026-11-23T12:00:00Z") for at, rate in enumerate(rates)
    ]
    (found,) = summaries_of(rows)

    assert timed_values(found, "decode_tokens_per_s")[0] == rates
    assert found.drift is not None
    assert (found.drift.drifting, found.drift.throttled, found.drift.p_value) == (False, False, 1.0)
    assert found.drift.why == "all runs bear the same time, so they have no order"
    (pair,) = compare_cells([found], [found]).cells
    assert not pair.interleaved


def test_runs_of_one_second_stay_in_the_order_of_their_rows() -> None:
    rows = [replace(kept(rate, 1), started_at="2026-11-23T12:00:00Z") for rate in (9.0, 3.0, 5.0)]
    (found,) = summaries_of([*rows, kept(1.0, 30)])

    assert timed_values(found, "decode_tokens_per_s")[0] == [9.0, 3.0, 5.0, 1.0]


FAST = [30 + i / 100 for i in range(10)]
SLOW = [20 + i / 100 for i in range(10)]


def test_cells_of_the_same_settings_are_compared_whatever_the_bundle_is_called() -> None:
    new = replace(record().bundle, name="new.task", sha256="77" * 32, recipe="int4")
    compared = compare_cells([cell(*SLOW)], [cell(*FAST, bundle=new)], slower_limit=0.05)
    (pair,) = compared.cells

    decode = next(f.comparison for f in pair.figures if f.name == "decode_tokens_per_s")
    assert decode.verdict == "faster"
    assert decode.ratio == pytest.approx(1.5, rel=0.01)
    assert pair.differs == ("bundle (dynamic_wi8_afp32 → int4)",)
    assert not judgement_of(compared).regressed


def test_a_slower_cell_is_named_with_its_speeds() -> None:
    (slow,) = compare_cells([cell(*FAST)], [cell(*SLOW)], slower_limit=0.05).cells
    assert [each.name for each in slow.slower] == ["decode_tokens_per_s", "prefill_tokens_per_s"]


def test_other_settings_are_not_compared() -> None:
    baseline, candidate = cell(*SLOW), cell(*FAST, threads=8)
    compared = compare_cells([baseline], [candidate])

    assert compared.cells == ()
    assert compared.only_baseline == (baseline,)
    assert compared.only_candidate == (candidate,)


def test_namesakes_go_together_first() -> None:
    other = replace(record().bundle, name="other.task", sha256="77" * 32)
    old = [cell(*SLOW), cell(*FAST, bundle=other)]
    new = [cell(*SLOW, bundle=other), cell(*FAST)]
    pairs = compare_cells(old, new).cells

    assert [(p.baseline.example.bundle.name, p.candidate.example.bundle.name) for p in pairs] == [
        ("other.task", "other.task"),
        ("qwen3-0.6b-int8.litertlm", "qwen3-0.6b-int8.litertlm"),
    ]


def test_a_single_run_is_not_compared() -> None:
    (pair,) = compare_cells([cell(20)], [cell(10)]).cells

    assert pair.figures == ()
    assert not pair.lost
