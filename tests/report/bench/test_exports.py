"""What other programs get: CSV, JSON lines, llama-bench's rows, the manifest, Markdown, text."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import jsonschema
import pytest

from edgegen.device.bench.record import Failure
from edgegen.report.bench import (
    RecordsError,
    Report,
    left_out_of_manifest,
    render_cells_csv,
    render_csv,
    render_html,
    render_jsonl,
    render_litertlm_manifest,
    render_llama_bench,
    render_markdown,
    render_terminal,
    report_of,
)
from edgegen.report.bench.markdown import plain
from tests.report.bench.examples import record, write_run

# The columns of the table that llama.cpp's compare script fills: another one is an error there.
LLAMA_COLUMNS = re.findall(
    r"\S+",
    """build_commit build_number cpu_info gpu_info backends model_filename model_type model_size
    model_n_params n_batch n_ubatch n_threads cpu_mask cpu_strict poll type_k type_v n_gpu_layers
    split_mode main_gpu no_kv_offload flash_attn tensor_split tensor_buft_overrides use_mmap
    embeddings no_op_offload n_prompt n_gen n_depth test_time avg_ns stddev_ns avg_ts stddev_ts""",
)
# What hf-to-litertlm's schema of 0.1 demands.
MANIFEST = {
    "type": "object",
    "required": ["manifest_schema", "repo", "generated", "model", "variants"],
    "properties": {
        "manifest_schema": {"pattern": r"^0\.1\.\d+$"},
        "repo": {"pattern": "^[^/]+/[^/]+$"},
        "model": {"required": ["display_name"]},
        "variants": {
            "minItems": 1,
            "items": {
                "required": ["file", "quantization", "backends"],
                "properties": {
                    "file": {"pattern": r"\.litertlm$"},
                    "sha256": {"pattern": "^[0-9a-f]{64}$"},
                    "backends": {"items": {"enum": ["cpu", "gpu", "npu"]}, "minItems": 1},
                    "measured": {
                        "items": {
                            "required": ["device", "backend", "runtime", "date", "source"],
                            "properties": {
                                "prefill_tps": {"type": ["number", "string"]},
                                "load_s": {"type": "number", "minimum": 0},
                                "peak_memory_mb": {"type": "number", "minimum": 0},
                                "runs": {"type": "integer"},
                                "max_num_tokens": {"type": "integer"},
                            },
                        }
                    },
                },
            },
        },
    },
}
EVIL = "\x1b]0;x\x07<script>alert(1)</script>|`[x](y)"


def hostile(folder: Path) -> Report:
    row = record()
    row = replace(
        row,
        cell=f"=cmd{EVIL}",
        bundle=replace(row.bundle, name=EVIL, recipe=EVIL),
        engine=replace(row.engine, name=EVIL, version=EVIL, files_sha256={EVIL: EVIL}),
        device={"model": EVIL, "clusters": [{"cpus": 3}, 4], "ram_total_bytes": "x"},
        workload=EVIL,
        missing={EVIL: EVIL},
        flags=(EVIL,),
        series="../../secret.csv",
    )
    return report_of([write_run(folder / "evil", [(replace(row, series=None), "")])])


def test_csv_has_a_row_for_each_run(report: Report) -> None:
    rows = list(csv.DictReader(io.StringIO(render_csv(report))))
    records = report.runs[0].records

    assert len(rows) == len(records)
    for row, known in zip(rows, records, strict=True):
        assert row["cell"] == known.cell
        assert row["failure"] == (known.failure.kind if known.failure else "")
        if known.metrics is not None:
            assert float(row["decode_tokens_per_s"]) == known.metrics.decode_tokens_per_s


def test_csv_of_cells_has_their_statistics(report: Report) -> None:
    rows = list(csv.DictReader(io.StringIO(render_cells_csv(report))))

    assert [row["cell"] for row in rows] == [cell.cell for cell in report.cells]
    for row, cell in zip(rows, report.cells, strict=True):
        summary = cell.summaries.get("decode_tokens_per_s")
        assert row["decode_tokens_per_s.median"] == ("" if not summary else str(summary.median))
        assert int(row["failures"]) == len(cell.failures)


def test_no_text_becomes_a_formula(tmp_path: Path) -> None:
    (row,) = csv.DictReader(io.StringIO(render_csv(hostile(tmp_path))))
    assert row["cell"].startswith("'=cmd")


@pytest.mark.parametrize("lead", ["", " ", "\n", "\t", "\r\n", "\u00a0", "\ufeff", "\x00", "\x1b "])
@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20"])
def test_no_text_becomes_a_formula_behind_what_is_not_seen(
    tmp_path: Path, lead: str, sign: str
) -> None:
    row = replace(record(), cell=f"{lead}{sign}cmd|'/c calc'!A1")
    report = report_of([write_run(tmp_path / "a", [(row, "")])])
    for text in (render_csv(report), render_cells_csv(report)):
        (told,) = csv.DictReader(io.StringIO(text))
        assert told["cell"].startswith("'")
        assert told["cell"].endswith(f"{sign}cmd|'/c calc'!A1")


def test_csv_is_a_line_for_each_row_without_control_characters(tmp_path: Path) -> None:
    failure = Failure("crashed", "it\nended\x00 \x1b[2J\x07")
    row = record(metrics=None, failure=failure)
    text = render_csv(report_of([write_run(tmp_path / "a", [(row, "")])]))
    (told,) = csv.DictReader(io.StringIO(text))

    assert told["failure_message"] == "it ended\ufffd \ufffd[2J\ufffd"
    assert len(text.splitlines()) == 2


def test_a_folder_whose_name_is_no_utf_8_can_be_written_everywhere(tmp_path: Path) -> None:
    folder = write_run(tmp_path / os.fsdecode(b"caf\xe9"), [(record(), "")])
    with (folder / "records.jsonl").open("ab") as file:
        file.write(b"{")
    report = report_of([folder])

    for render in (render_csv, render_cells_csv, render_jsonl, render_markdown, render_html):
        assert render(report).encode("utf-8")
    assert next(csv.DictReader(io.StringIO(render_csv(report))))["run"] == "caf\ufffd"


def test_json_lines_keep_every_value(report: Report) -> None:
    lines = [json.loads(line) for line in render_jsonl(report).splitlines()]

    for line, cell in zip(lines, report.cells, strict=True):
        assert line["values"] == {name: list(v) for name, v in cell.values.items()}
        assert line["bundle"]["sha256"] == cell.example.bundle.sha256


def test_llama_bench_rows_are_a_prompt_and_an_answer_behind_it(report: Report) -> None:
    rows = [json.loads(line) for line in render_llama_bench(report).splitlines()]
    prompt, answer = rows[:2]
    cell = report.cells[0]

    assert all(set(row) == {*LLAMA_COLUMNS, "samples_ns", "samples_ts"} for row in rows)
    assert (prompt["n_prompt"], prompt["n_gen"], prompt["n_depth"]) == (512, 0, 0)
    assert (answer["n_prompt"], answer["n_gen"], answer["n_depth"]) == (0, 128, 512)
    assert answer["samples_ts"] == list(cell.values["decode_tokens_per_s"])
    assert answer["avg_ts"] == pytest.approx(cell.summaries["decode_tokens_per_s"].mean)
    for rate, nanoseconds in zip(answer["samples_ts"], answer["samples_ns"], strict=True):
        assert 128 / (nanoseconds / 1e9) == pytest.approx(rate)
    # Rows are put together by equality, which null never has.
    assert {name for row in rows for name in row if row[name] is None} == {"model_n_params"}


def test_the_manifest_is_of_its_form(report: Report) -> None:
    made = datetime(2026, 11, 23, tzinfo=timezone.utc)
    manifest = json.loads(render_litertlm_manifest(report, repo="me/qwen3", generated=made))

    jsonschema.validate(manifest, MANIFEST)
    assert manifest["generated"] == "2026-11-23"
    (variant,) = manifest["variants"]
    assert variant["backends"] == ["cpu", "gpu"]
    measured = variant["measured"][0]
    cell = report.cells[0]
    rates = cell.values["decode_tokens_per_s"]
    assert measured["decode_tps"] == f"{round(min(rates), 2)}-{round(max(rates), 2)}"
    assert measured["device"] == "Google Pixel 8a (Google Tensor G3)"
    assert measured["runs"] == 7
    assert cell.cold_init_ms is not None
    assert measured["load_s"] == round(cell.cold_init_ms.median / 1000, 3)


def test_a_manifest_of_other_files_or_for_nowhere(tmp_path: Path, report: Report) -> None:
    with pytest.raises(RecordsError) as nowhere:
        render_litertlm_manifest(report, repo="qwen3")
    assert (nowhere.value.message, nowhere.value.hint) == (
        "'qwen3' is no name of a repository",
        "write it as owner/name",
    )
    row = replace(record(), bundle=replace(record().bundle, name="a.task"))
    with pytest.raises(RecordsError) as other:
        render_litertlm_manifest(report_of([write_run(tmp_path / "a", [(row, "")])]), repo="a/b")
    assert (other.value.message, other.value.hint) == (
        "no .litertlm file has results, and the manifest is about such files",
        "convert the bundle, then measure that: edgegen bundle convert MODEL.task",
    )


def test_emulated_gpus_are_no_rates_of_a_manifest(tmp_path: Path) -> None:
    software = replace(record().engine, gpu_adapter="SwiftShader Device (Subzero)")
    fake = record(engine=software, delegate="gpu", cell="fake")
    noted = record(
        prefill_padded_tokens=1024, conditions=replace(record().conditions, cpu_max_khz_capped=True)
    )
    report = report_of([write_run(tmp_path / "a", [(noted, ""), (fake, "")])])
    (variant,) = json.loads(render_litertlm_manifest(report, repo="me/x"))["variants"]

    assert variant["backends"] == ["cpu"]
    (measured,) = variant["measured"]
    for note in ("a CPU's clock was capped in 1 of 1 runs", "is computed as 1024"):
        assert note in measured["source"]
    (line,) = left_out_of_manifest(report)
    assert line == (
        "qwen3-0.6b-int8.litertlm, pp512+tg128, GPU, 4 threads on Google Pixel 8a is left out of "
        "the manifest: this GPU is emulated in software"
    )
    alone = report_of([write_run(tmp_path / "b", [(fake, "")])])
    with pytest.raises(RecordsError) as caught:
        render_litertlm_manifest(alone, repo="me/x")
    assert (caught.value.message, caught.value.hint) == (
        "all results of .litertlm files are of GPUs that are emulated in software",
        "measure on a device, or with --delegate cpu",
    )


def test_markdown_makes_no_links_mentions_or_formulas_of_text() -> None:
    assert plain("a@b.c $x$ https://x WWW.x #1 *b*") == (
        "a@<!-- -->b.c \\$x\\$ https:<!-- -->//x WWW<!-- -->.x \\#<!-- -->1 \\*b\\*"
    )


def test_markdown_of_text_that_would_be_links(tmp_path: Path) -> None:
    name = "@octocat $x$ http://evil.example www.evil.example"
    row = record(bundle=replace(record().bundle, name=name), missing={name: name})
    text = render_markdown(report_of([write_run(tmp_path / "a", [(row, "")])]))

    assert "octocat" in text
    for live in ("@octocat", "http://", "www.", " $x"):
        assert live not in text


def test_all_tests_that_were_used_are_named(tmp_path: Path) -> None:
    """Of the new runs half tell no first token, so that is not compared in pairs."""
    old, new = (
        [record(index=at, started_at=f"2026-11-23T12:{2 * at + side:02}:00Z") for at in range(10)]
        for side in (0, 1)
    )
    new = [
        replace(row, metrics=row.metrics and replace(row.metrics, ttft_ms=None))
        if row.index % 2
        else row
        for row in new
    ]
    folders = [
        write_run(tmp_path / name, [(row, "") for row in rows])
        for name, rows in (("old", old), ("new", new))
    ]
    report = report_of([folders[1]], baseline=folders[0])
    both = "Mann-Whitney on interleaved runs; Wilcoxon signed-rank on interleaved pairs"

    assert f"Test: {both}." in render_markdown(report)
    assert f"\n{both}\n" in render_terminal(report, terminal=False)


def test_a_name_with_commas_stays_in_its_column(tmp_path: Path) -> None:
    rows = [
        record(bundle=replace(record().bundle, name="a, b, c"), threads=count, cell=f"t{count}")
        for count in range(1, 5)
    ]
    report = report_of([write_run(tmp_path / "a", [(row, "") for row in rows])])
    head, *lines = render_terminal(report, terminal=False, width=250).splitlines()

    assert [line.index("pp512+tg128") for line in lines[:4]] == [head.index("test")] * 4
    assert [line[: head.index("test")].strip() for line in lines[:4]] == ["a, b, c"] * 4


def test_markdown_tells_all_and_shows_hostile_text_as_it_is(tmp_path: Path, report: Report) -> None:
    text = render_markdown(report)

    for told in ("## Beside old", "| decode, tokens/s |", "## Failures", "## Devices", "6e6e6e"):
        assert told in text
    evil = render_markdown(hostile(tmp_path))
    assert "<script>" not in evil
    assert "\x1b" not in evil
    # Each row of a table has as many cells as its head.
    for block in re.findall(r"(?:^\|.*\n)+", evil, re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1


@pytest.mark.parametrize("terminal", [False, True])
def test_text_tells_all_and_cannot_take_over_the_terminal(
    tmp_path: Path, report: Report, terminal: bool
) -> None:
    text = render_terminal(report, terminal=terminal, width=200)
    for told in ("beside old:", "Google Pixel 8a", "SIGSEGV", "hint: allow more with --timeout"):
        assert told in text

    evil = render_terminal(hostile(tmp_path), terminal=terminal, width=200)
    plain = re.sub(r"\x1b\[\d*m", "", evil)
    assert [c for c in plain if not c.isprintable() and c != "\n"] == []


def test_two_benchmarks_of_one_name_are_told_apart(tmp_path: Path) -> None:
    paths = [write_run(tmp_path / side / "a", [(record(), "")]) for side in ("x", "y")]
    report = report_of(paths)

    assert [cell.run for cell in report.cells] == ["x/a", "y/a"]
    assert [report.folder_of(cell) for cell in report.cells] == paths
