"""LiteRT-LM's logs of all generations."""

from __future__ import annotations

import dataclasses
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgegen.device.bench.record import DelegationFacts, Memory, Metrics
from edgegen.device.engine_logs import EngineLog, joined, parse_log
from edgegen.device.engine_logs.gpu import why_not_on_gpu
from edgegen.device.engine_logs.numbers import duration_ms
from tests.device.engine_logs import samples

MIB = 1024**2
SAMPLES = {name: text for name, text in vars(samples).items() if name.isupper()}


def test_the_current_form():
    found = parse_log(samples.CURRENT)
    assert found.metrics == Metrics(
        init_ms=580.10,
        ttft_ms=920.0,
        prefill_tokens=16,
        prefill_tokens_per_s=19.51,
        decode_tokens=88,
        decode_tokens_per_s=10.11,
        init_phases_ms={
            "Init Conversation": 0.09,
            "Init Executor": 577.30,
            "Init LLM metadata": 0.15,
            "Init Model assets": 0.49,
            "Init Tokenizer": 101.68,
        },
    )
    assert found.no_turns == ()
    assert found.turns_ms == {"prefill": 819.9514, "decode": 8703.8005}
    assert found.iterations is None


def test_a_run_that_computed_nothing_has_no_rates():
    found = parse_log(samples.NOTHING)
    assert found.metrics == Metrics(
        init_ms=1922.03,
        init_phases_ms={"Conversation initialization": 0.10, "Executor initialization": 1899.02},
    )
    assert found.no_turns == ("decode", "prefill")


def test_the_older_form():
    assert parse_log(samples.OLDER).metrics == Metrics(
        init_ms=911.25,
        ttft_ms=310.0,
        prefill_tokens=1024,
        prefill_tokens_per_s=145.37,
        decode_tokens=256,
        decode_tokens_per_s=11.0,
        init_phases_ms={"Executor initialization": 844.54, "Tokenizer initialization": 66.71},
    )


def test_the_oldest_form_has_no_counts_and_the_last_turn_counts():
    assert parse_log(samples.OLDEST).metrics == Metrics(
        init_ms=1050.75,
        prefill_tokens_per_s=2000.0,
        decode_tokens_per_s=200.0,
        init_phases_ms={"Load Model": 1000.50, "Load Tokenizer": 50.25},
    )


def test_of_several_iterations_the_median_counts():
    found = parse_log(samples.ITERATIONS)
    assert found.iterations == 3
    assert found.metrics is not None
    assert (found.metrics.prefill_tokens_per_s, found.metrics.decode_tokens_per_s) == (20.0, 11.0)
    assert found.metrics.ttft_ms == 930.0
    assert found.memory.peak_rss_bytes == round(3382.5 * MIB)
    assert found.peak_private_bytes == round(5651.08 * MIB)


def test_the_flat_form():
    found = parse_log(samples.FLAT)
    assert found.metrics == Metrics(
        init_ms=580.10,
        ttft_ms=920.0,
        prefill_tokens_per_s=19.51,
        decode_tokens_per_s=10.11,
        init_phases_ms={"Init Executor": 577.30},
    )
    assert found.memory.peak_rss_bytes == round(1000.5 * MIB)
    assert found.peak_private_bytes == round(1200.25 * MIB)


def test_the_flat_form_that_writes_the_private_footprint_twice_tells_no_peak():
    found = parse_log(samples.FLAT.replace("1000.50", "1200.25"))
    assert found.memory.peak_rss_bytes is None
    assert found.peak_private_bytes == round(1200.25 * MIB)


def test_the_python_command_line():
    assert parse_log(samples.CLI).metrics == Metrics(
        init_ms=pytest.approx(7600.6),
        ttft_ms=pytest.approx(2029.2),
        prefill_tokens_per_s=220.5,
        decode_tokens_per_s=0.69,
    )


def test_memory_lines():
    found = parse_log(samples.MEMORY)
    assert found.memory == Memory(peak_rss_bytes=3382 * MIB, peak_dmabuf_bytes=round(512.25 * MIB))
    assert found.peak_private_bytes == round(5651.08 * MIB)
    assert found.metrics is None


def test_what_the_model_says_is_no_measurement():
    said = "BenchmarkInfo:\n  Prefill Turn 1:\n    Prefill Speed: 999999.00 tokens/sec.\n"
    metrics = parse_log(said + samples.CURRENT).metrics
    assert metrics is not None
    assert metrics.prefill_tokens_per_s == 19.51


@pytest.mark.parametrize("rate", ["0.00", "nan", "inf", "-3.00"])
def test_a_rate_that_cannot_be_is_absent(rate):
    text = samples.CURRENT.replace("Decode Speed: 10.11", f"Decode Speed: {rate}")
    metrics = parse_log(text).metrics
    assert metrics is not None
    assert metrics.decode_tokens_per_s is None
    assert metrics.prefill_tokens_per_s == 19.51


def test_a_log_that_is_cut_off_tells_what_it_holds():
    metrics = parse_log(samples.CURRENT[: samples.CURRENT.index("  Decode Turns")]).metrics
    assert metrics is not None
    assert (metrics.prefill_tokens, metrics.decode_tokens) == (16, None)
    assert metrics.decode_tokens_per_s is None


def test_windows_line_ends_are_read():
    assert parse_log(samples.CURRENT.replace("\n", "\r\n")) == parse_log(samples.CURRENT)


def test_a_metrics_file_is_completed_by_the_log():
    first = EngineLog(metrics=Metrics(prefill_tokens=7, prefill_tokens_per_s=3.0))
    found = joined(first, parse_log(samples.CURRENT + samples.MEMORY))
    assert found.metrics is not None
    assert (found.metrics.prefill_tokens, found.metrics.init_ms) == (7, 580.10)
    assert found.memory.peak_rss_bytes == 3382 * MIB
    assert joined(None, parse_log(samples.OLDER)) == parse_log(samples.OLDER)


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("7.044162s", 7044.162),
        ("372.565677ms", 372.565677),
        ("46.1us", 0.0461),
        ("1m2.3s", 62300.0),
        ("2h3m4s", 7384000.0),
        ("12ns", 0.000012),
        ("", None),
        ("inf", None),
        ("-3s", None),
        ("3", None),
        ("s", None),
    ],
)
def test_durations(text, ms):
    assert duration_ms(text) == (None if ms is None else pytest.approx(ms))


def test_delegations_with_and_without_names():
    assert parse_log(samples.GPU).delegations == (
        DelegationFacts("LITERT_CL", 2068, 2068, 1, "decode"),
        DelegationFacts("LITERT_CL", 1107, 1107, 1, "prefill_1024"),
    )
    assert parse_log(samples.GPU_UNNAMED).delegations == (
        DelegationFacts("LITERT_CL", 796, 796, 1, ""),
        DelegationFacts("LITERT_CL", 782, 782, 1, ""),
    )


def test_signs_of_a_gpu():
    found = parse_log(samples.GPU).gpu
    assert (found.registered, found.refused, found.opencl_loaded) == (True, False, True)
    assert found.apis_started == ("OpenCL", "OpenCL")
    assert found.adapter == "GPU OpenCL"
    refused = parse_log(samples.GPU_REFUSED).gpu
    assert (refused.registered, refused.refused, refused.opencl_loaded) == (False, True, False)
    assert refused.adapter is None


@pytest.mark.parametrize("name", ["GPU", "GPU_UNNAMED", "GPU_QUIET", "SWIFTSHADER"])
def test_a_gpu_that_computed_is_believed(name):
    found = parse_log(SAMPLES[name])
    assert why_not_on_gpu(found.gpu, found.delegations) is None


CPU_LINES = "".join(
    f"Replacing 9 out of 9 node(s) with delegate (TfLiteXNNPackDelegate) node, yielding 1 "
    f"partitions for subgraph 0 ({name}).\n"
    for name in ("decode", "prefill_8")
)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (samples.GPU_REFUSED, "no accelerator for a GPU could be loaded"),
        (samples.CURRENT, "the log does not show that an accelerator for a GPU was loaded"),
        (
            samples.GPU[: samples.GPU.index("VERBOSE")],
            "the log does not show that a delegate took prefill and decode",
        ),
        (
            samples.GPU[: samples.GPU.index("VERBOSE")] + CPU_LINES,
            "the GPU did not take prefill and decode whole: decode: TfLiteXNNPackDelegate 9/9; "
            "prefill_8: TfLiteXNNPackDelegate 9/9",
        ),
        (
            samples.GPU_PARTIAL,
            "the GPU did not take prefill and decode whole: decode: LITERT_CL 48/90; "
            "decode: TfLiteXNNPackDelegate 32/43; prefill_128: LITERT_CL 90/90",
        ),
        (
            samples.GPU + CPU_LINES,
            "the GPU did not take prefill and decode whole: decode: LITERT_CL 2068/2068; "
            "prefill_1024: LITERT_CL 1107/1107; decode: TfLiteXNNPackDelegate 9/9; "
            "prefill_8: TfLiteXNNPackDelegate 9/9",
        ),
    ],
)
def test_a_gpu_that_did_not_compute_is_not(text, why):
    found = parse_log(text)
    told = why_not_on_gpu(found.gpu, found.delegations)
    assert told is not None
    assert told[0] == why


@pytest.mark.parametrize(
    ("name", "signatures", "why"),
    [
        ("SWIFTSHADER", 4, None),
        ("GPU", 4, None),  # named: those that appear
        ("GPU_UNNAMED", 2, None),
        ("GPU_UNNAMED", 4, "the GPU did not take prefill and decode whole: a graph: LITERT_CL "
         "796/796; a graph: LITERT_CL 782/782"),
        ("GPU_QUIET", 2, None),
        ("GPU_QUIET", 4, "the log does not show that a delegate took prefill and decode"),
    ],
)  # fmt: skip
def test_graphs_without_names_must_be_all_that_the_bundle_has(name, signatures, why):
    found = parse_log(SAMPLES[name])
    told = why_not_on_gpu(found.gpu, found.delegations, signatures)
    assert (told and told[0]) == why


@pytest.mark.parametrize("name", ["GPU", "GPU_UNNAMED", "GPU_QUIET"])
def test_a_line_of_work_left_to_the_cpu_disproves(name):
    line = "W0000 executor.cc:7] GPU backend failed, falling back to CPU."
    found = parse_log(SAMPLES[name] + line + "\n")
    assert why_not_on_gpu(found.gpu, found.delegations, 2) == (
        "the log tells of work that was left to the CPU",
        line,
    )
    sampler = "W0000 x.cc:7] GPU sampler unavailable. Falling back to CPU sampling. To use it"
    found = parse_log(SAMPLES[name] + sampler + "\n")
    assert why_not_on_gpu(found.gpu, found.delegations, 2) is None


def test_the_refused_rest_is_quoted():
    found = parse_log(samples.GPU_PARTIAL)
    told = why_not_on_gpu(found.gpu, found.delegations)
    assert told is not None
    assert told[1].startswith("28 operations will run on the GPU, and the remaining 116")


LINES = [line for text in SAMPLES.values() for line in text.splitlines()]
JUNK = st.one_of(
    st.text(max_size=80),
    st.sampled_from(LINES),
    st.sampled_from(LINES).map(lambda line: line[::-1]),
    st.tuples(st.sampled_from(LINES), st.integers(0, 99), st.text(max_size=5)).map(
        lambda given: given[0][: given[1]] + given[2] + given[0][given[1] :]
    ),
)


@given(st.lists(JUNK, max_size=60))
@settings(deadline=None, max_examples=300)
def test_no_text_makes_it_raise_or_invent(lines):
    text = "\n".join(lines)
    found = parse_log(text)
    written = {float(n) for n in re.findall(r"\d+(?:\.\d+)?(?:[eE][+-]?\d+)?", text)}
    if found.metrics is not None:
        for name, value in dataclasses.asdict(found.metrics).items():
            values = value.values() if isinstance(value, dict) else [value]
            for one in values:
                # Seconds are told in milliseconds.
                assert one is None or any(
                    abs(one - n * factor) <= 1e-9 * max(1.0, one)
                    for n in written
                    for factor in (1, 1000)
                ), name
                assert one is None or name.endswith("tokens") or one > 0
    for value in (*dataclasses.asdict(found.memory).values(), found.peak_private_bytes):
        assert value is None or any(abs(value - n * MIB) <= 1 for n in written)
    for delegation in found.delegations:
        assert {delegation.nodes_delegated, delegation.nodes_total} <= written
    told = why_not_on_gpu(found.gpu, found.delegations)
    assert told is None or isinstance(told[0], str)


@given(st.binary(max_size=300))
@settings(deadline=None)
def test_no_bytes_make_it_raise(data):
    parse_log(data.decode("utf-8", "backslashreplace"))
