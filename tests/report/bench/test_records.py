"""What is read of `records.jsonl`, and what is refused, with whole messages."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgegen.device.bench.record import SCHEMA
from edgegen.report.bench import records as reading
from edgegen.report.bench import (
    render_html,
    render_llama_bench,
    render_markdown,
    render_terminal,
    report_of,
)
from edgegen.report.bench.records import RecordsError, read_records, read_run
from scripts.bench_schema import SCHEMA_FILE, schema, schema_text
from tests.report.bench.examples import record, runs, write_run

OURS = "each line must be a record as docs/reference/bench-record.md tells"
LINE = msgspec.json.encode(record()) + b"\n"


def file(folder: Path, content: bytes) -> Path:
    path = folder / "records.jsonl"
    path.write_bytes(content)
    return path


def changed(**changes: Any) -> bytes:
    return json.dumps(json.loads(LINE) | changes).encode() + b"\n"


def part(name: str, **changes: Any) -> bytes:
    return changed(**{name: json.loads(LINE)[name] | changes})


TINY = "{{}}: {} is {:g}, expected at least 1e-09"


def refused(path: Path) -> tuple[str, str | None]:
    with pytest.raises(RecordsError) as caught:
        read_records(path)
    return caught.value.message, caught.value.hint


def test_a_folder_and_its_file_are_the_same(tmp_path: Path) -> None:
    rows = runs(kept=2)
    folder = write_run(tmp_path / "a", rows)

    assert read_records(folder) == [row for row, _ in rows]
    assert read_records(folder / "records.jsonl") == read_records(folder)
    assert read_run(folder).name == "a"


def test_a_last_line_that_was_cut_short_is_dropped_with_a_note(tmp_path: Path) -> None:
    path = file(tmp_path, LINE + LINE[:200])
    run = read_run(path)

    assert run.records == (record(),)
    assert run.notes == (f"{path}: line 2 was cut short and is left out",)


def test_a_last_line_without_its_end_counts_if_it_is_whole(tmp_path: Path) -> None:
    assert read_run(file(tmp_path, LINE + LINE.rstrip())).records == (record(), record())


def test_names_that_came_later_are_passed_over(tmp_path: Path) -> None:
    assert read_records(file(tmp_path, changed(later=1))) == [record()]


@pytest.mark.parametrize(
    ("line", "message", "hint"),
    [
        (
            LINE[:200] + b"\n",
            "{} is no record of a benchmark: JSON is malformed: invalid character (byte 200)",
            OURS,
        ),
        (b"{}\n", f"{{}} is no record of a benchmark: it names no '{SCHEMA}'", OURS),
        (
            b"[1]\n",
            "{} is no record of a benchmark: Expected `object`, got `array`",
            OURS,
        ),
        (
            b'{"schema":"other/2"}\n',
            f"{{}} is no record of a benchmark: it names no '{SCHEMA}'",
            OURS,
        ),
        (
            changed(schema="edgegen.bench/9"),
            "{} is of version 'edgegen.bench/9', expected 'edgegen.bench/2'",
            "read it with the edgegen that wrote it, or measure again",
        ),
        (
            changed(index="1"),
            "{} is no record of a benchmark: Expected `int`, got `str` - at `$.index`",
            OURS,
        ),
        (
            changed(started_at="today"),
            "{}: started_at is 'today', expected a time in ISO 8601",
            OURS,
        ),
        (changed(metrics=None), "{}: expected either metrics or a failure", OURS),
        (
            changed(metrics=json.loads(LINE)["metrics"] | {"decode_tokens_per_s": 0}),
            "{}: metrics.decode_tokens_per_s is 0, expected above 0",
            OURS,
        ),
        (changed(wall_s=-1), "{}: wall_s is -1, expected 0 or more", OURS),
        (changed(series="a\0b"), "{}: series holds a NUL, which no path does", OURS),
        (changed(log="\0"), "{}: log holds a NUL, which no path does", OURS),
        *(
            (
                part("metrics", decode_tokens_per_s=rate),
                f"{{}}: metrics.decode_tokens_per_s is {rate:g}, expected at least 1e-09",
                OURS,
            )
            for rate in (1e-300, 1e-13, 9e-10)
        ),
        (part("metrics", ttft_ms=5e-324), TINY.format("metrics.ttft_ms", 5e-324), OURS),
        (
            part("energy", joules_per_token=5e-324),
            TINY.format("energy.joules_per_token", 5e-324),
            OURS,
        ),
        (changed(memory_bytes_per_s=1e-10), TINY.format("memory_bytes_per_s", 1e-10), OURS),
        *(
            (
                part("bundle", **{name: -3}),
                f"{{}}: bundle.{name} is -3, expected 0 or more",
                OURS,
            )
            for name in (
                "size_bytes",
                "weight_bytes",
                "weight_bytes_per_decode",
                "kv_bytes_per_token",
                "kv_cache_len",
            )
        ),
        (
            part("bundle", prefill_lens=[16, -1]),
            "{}: bundle.prefill_lens is -1, expected 0 or more",
            OURS,
        ),
        (
            changed(prefill_padded_tokens=-1),
            "{}: prefill_padded_tokens is -1, expected 0 or more",
            OURS,
        ),
        (changed(depth=10**400), f"{{}}: a number is beyond {2**63}", OURS),
    ],
)
def test_a_line_that_is_no_record(tmp_path: Path, line: bytes, message: str, hint: str) -> None:
    path = file(tmp_path, LINE + line)

    assert refused(path) == (message.replace("{}", f"line 2 of {path}"), hint)


def test_a_line_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_LINE_BYTES", 100)
    path = file(tmp_path, LINE)

    assert refused(path) == (
        f"line 1 of {path} is longer than 100 bytes",
        "it is no records.jsonl of edgegen's, or it was damaged",
    )


def test_too_many_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_RECORDS", 2)
    path = file(tmp_path, LINE * 3)

    assert refused(path) == (f"{path} has more than 2 lines", "split it into several files")


def test_too_many_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    most = 2 * len(LINE)
    monkeypatch.setattr(reading, "MAX_BYTES", most)

    assert len(read_records(file(tmp_path, LINE * 2))) == 2
    path = file(tmp_path, LINE * 3)
    assert refused(path) == (f"{path} has more than {most} bytes", "split it into several files")


def test_whatever_is_let_through_can_be_shown(tmp_path: Path) -> None:
    """The smallest and largest values that are no error must not become one later."""
    for rate in (1e-9, 2.0**62):
        rows = [
            part("metrics", decode_tokens_per_s=rate, prefill_tokens_per_s=rate, ttft_ms=1e-9),
            part("energy", joules=1e-9, joules_per_token=1e-9),
            part("memory", peak_rss_bytes=0),
            changed(memory_bytes_per_s=1e-9),
            part("bundle", weight_bytes_per_decode=1, kv_bytes_per_token=2**62),
        ]
        report = report_of([file(tmp_path, b"".join(rows))])
        for render in (render_html, render_llama_bench, render_markdown, render_terminal):
            assert render(report, **({"terminal": False} if render is render_terminal else {}))


def test_a_file_by_another_name_is_called_by_it(tmp_path: Path) -> None:
    (tmp_path / "monday.jsonl").write_bytes(LINE)
    assert read_run(tmp_path / "monday.jsonl").name == "monday"


def test_nothing_to_read(tmp_path: Path) -> None:
    measure = "measure first: edgegen bench ... --out FOLDER"

    assert refused(tmp_path) == (f"{tmp_path} is a folder without records.jsonl", measure)
    assert refused(tmp_path / "x") == (f"{tmp_path}/x is no folder and no records.jsonl", measure)
    path = file(tmp_path, b"\n")
    assert refused(path) == (f"{path} holds no finished run", measure)


@given(st.binary(max_size=300), st.integers(0, len(LINE)))
def test_whatever_is_in_the_file_ends_well(tmp_path_factory: Any, junk: bytes, at: int) -> None:
    path = tmp_path_factory.getbasetemp() / "junk.jsonl"
    path.write_bytes(LINE[:at] + junk + LINE[at:])
    with contextlib.suppress(RecordsError):
        read_records(path)


def test_the_committed_schema_is_that_of_the_classes() -> None:
    assert SCHEMA_FILE.read_text(encoding="utf-8") == schema_text(), (
        "run python scripts/bench_schema.py"
    )


def test_rows_validate_and_wrong_ones_do_not() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())
    validator = jsonschema.Draft202012Validator(schema())

    for row, _ in runs(kept=2):
        validator.validate(json.loads(msgspec.json.encode(row)))
    for wrong in (
        changed(schema="x"),
        changed(phase="hot"),
        changed(memory={"peak_rss_bytes": ""}),
    ):
        assert list(validator.iter_errors(json.loads(wrong)))


def test_every_name_of_the_schema_is_explained() -> None:
    unexplained = [
        f"{part}.{name}"
        for part, told in schema()["$defs"].items()
        if part != "DelegationFacts"  # which refers to the engine's own class
        for name, value in told["properties"].items()
        if not value.get("description")
    ]
    assert unexplained == []
