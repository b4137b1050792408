"""What an engine tells of a run, against what was asked for."""

from __future__ import annotations

import dataclasses

import pytest

from edgegen.bundle.contents import Bundle
from edgegen.device.bench.record import Failure, Metrics
from edgegen.device.bench.workload import Workload
from edgegen.device.runners.interface import RunRequest
from edgegen.device.runners.outcomes import checked_counts, signatures_of, untold_counts

GOOD = Metrics(
    init_ms=100.0,
    ttft_ms=20.0,
    prefill_tokens=16,
    prefill_tokens_per_s=400.0,
    decode_tokens=8,
    decode_tokens_per_s=30.0,
)
FORM = "look at the log; an engine of another release may write another form"


def asked(bundle: Bundle, *counts: int) -> RunRequest:
    return RunRequest(bundle, Workload(*counts))


def test_what_was_asked_for_is_kept(bundle):
    assert checked_counts(GOOD, asked(bundle, 16, 8)) == (GOOD, None)
    prefill = dataclasses.replace(GOOD, ttft_ms=None, decode_tokens=None, decode_tokens_per_s=None)
    assert checked_counts(GOOD, asked(bundle, 16, 0)) == (prefill, None)
    behind = dataclasses.replace(GOOD, ttft_ms=None)
    assert checked_counts(GOOD, asked(bundle, 16, 8, 32)) == (behind, None)


@pytest.mark.parametrize("value", [0.0, -3.0, float("nan"), float("inf")])
@pytest.mark.parametrize(
    "name", ["init_ms", "ttft_ms", "prefill_tokens_per_s", "decode_tokens_per_s"]
)
def test_a_time_or_rate_that_cannot_be_is_no_result(bundle, name, value):
    found = dataclasses.replace(GOOD, **{name: value})
    assert checked_counts(found, asked(bundle, 16, 8)) == (
        None,
        Failure(
            "no_result",
            f"the engine told a time or rate that cannot be: {name} {value}",
            "run the benchmark again; the log is kept beside the results",
        ),
    )


def test_times_that_are_not_told_are_no_failure(bundle):
    found = dataclasses.replace(GOOD, init_ms=None, ttft_ms=None)
    assert checked_counts(found, asked(bundle, 16, 8)) == (found, None)


def test_a_rate_of_what_was_not_asked_for_does_not_matter(bundle):
    found = dataclasses.replace(GOOD, decode_tokens_per_s=0.0, ttft_ms=0.0)
    metrics, failure = checked_counts(found, asked(bundle, 16, 0))
    assert failure is None
    assert metrics is not None
    assert (metrics.decode_tokens_per_s, metrics.ttft_ms) == (None, None)


def test_a_missing_rate_is_no_result(bundle):
    found = dataclasses.replace(GOOD, decode_tokens_per_s=None)
    assert checked_counts(found, asked(bundle, 16, 8)) == (
        None,
        Failure("no_result", "the engine ended without telling a rate of decode", FORM),
    )


def test_missing_counts_are_no_result_of_an_engine_that_tells_them(bundle):
    found = dataclasses.replace(GOOD, prefill_tokens=None, decode_tokens=None)
    assert checked_counts(found, asked(bundle, 16, 8)) == (
        None,
        Failure(
            "no_result",
            "the engine ended without telling the number of tokens of prefill and decode",
            FORM,
        ),
    )


def test_missing_counts_of_an_old_engine_are_said(bundle):
    found = dataclasses.replace(GOOD, prefill_tokens=None, decode_tokens=None)
    request = asked(bundle, 16, 8)
    assert checked_counts(found, request, counts_told=False) == (found, None)
    why = "this release of the engine does not tell how many tokens it ran"
    assert untold_counts(found, request) == {"prefill_tokens": why, "decode_tokens": why}
    assert untold_counts(found, asked(bundle, 16, 0)) == {"prefill_tokens": why}
    assert untold_counts(GOOD, request) == {}
    assert untold_counts(None, request) == {}


def test_a_count_that_is_told_is_checked_where_the_other_is_not(bundle):
    found = dataclasses.replace(GOOD, prefill_tokens=None, decode_tokens=5)
    _, failure = checked_counts(found, asked(bundle, 16, 8), counts_told=False)
    assert failure is not None
    assert (failure.kind, failure.message) == (
        "wrong_counts",
        "the engine ran 5 decode tokens, expected 8",
    )


def test_signatures_of_a_bundle(bundle, tmp_path):
    assert signatures_of(bundle) == 4
    gone = dataclasses.replace(bundle, path=tmp_path / "gone.task")
    assert signatures_of(gone) is None
