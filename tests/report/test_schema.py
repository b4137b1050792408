from __future__ import annotations

import json

from edgegen import __version__
from edgegen.device import BenchRun
from edgegen.report import SCHEMA_VERSION, bench_record


def test_a_record_keeps_every_sample_beside_the_statistics(run: BenchRun) -> None:
    record = bench_record(run)

    assert record.samples == run.samples
    assert record.summaries["decode_tokens_per_s"].median == 51.0
    assert {summary.n for summary in record.summaries.values()} == {3}
    assert set(record.summaries) == set(vars(run.samples[0]))


def test_the_json_says_what_was_measured_where_and_by_whom(run: BenchRun) -> None:
    told = json.loads(json.dumps(bench_record(run).as_dict()))

    assert told["schema_version"] == SCHEMA_VERSION
    assert told["edgegen_version"] == __version__
    assert told["started_at"] == "2026-11-23T12:00:00+00:00"
    assert told["bundle"] == "model.task"
    assert told["test"] == "pp128+tg64"
    assert (told["delegate"], told["threads"], told["gpu_adapter"]) == ("cpu", 4, None)
    assert told["device"]["engine"] == "litert-lm 0.18.1"
    assert told["delegations"][0]["nodes_delegated"] == 113
    assert told["samples"][2]["peak_rss_bytes"] == 102 * 1024**2
    assert told["summaries"]["init_ms"]["stddev"] == 1.0


def test_numbers_in_the_json_carry_their_unit_in_their_name(run: BenchRun) -> None:
    sample = bench_record(run).as_dict()["samples"][0]

    units = ("_ms", "_per_s", "_bytes")
    assert [name for name in sample if not name.endswith(units)] == []
