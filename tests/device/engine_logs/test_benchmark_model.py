"""TFLite's `benchmark_model`."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgegen.device.engine_logs import BenchmarkModelLog, parse_benchmark_model

MIB = 1024**2
CLASSIC = """count=5 first=116022 curr=105780 min=105000 max=116528 avg=106084 std=360
count=50 first=106022 curr=105780 min=105416 max=106528 avg=105784 std=260 p5=105500 median=105700
Inference timings in us: Init: 87639, First inference: 106436, Warmup (avg): 106065, \
Inference (avg): 1.05784e+05
Memory footprint delta from the start of the tool (MB): init=14.4414 overall=14.8164
Overall peak memory footprint (MB) via periodic monitoring: 54.25
"""
COMPILED = """INFO: [benchmark_litert_model.h:92] ========== BENCHMARK RESULTS ==========
INFO: [benchmark_litert_model.h:94] Model initialization: 23744.73 ms
INFO: [benchmark_litert_model.h:96] Warmup (first): 7441.04 ms
INFO: [benchmark_litert_model.h:98] Warmup (avg): 7441.04 ms (1 runs)
INFO: [benchmark_litert_model.h:99] Inference (avg): 7430.20 ms (10 runs)
INFO: [benchmark_litert_model.h:99] Inference (min): 7412.11 ms
INFO: [benchmark_litert_model.h:99] Inference (max): 7450.01 ms
INFO: [benchmark_litert_model.h:99] Inference (std): 9.92
INFO: [benchmark_litert_model.h:99] Throughput: 27.46 MB/s
INFO: [benchmark_litert_model.h:99] Peak memory usage not available.
"""
EXPECTED = BenchmarkModelLog(
    init_us=87639.0,
    first_us=106436.0,
    warmup_us=106065.0,
    average_us=105784.0,
    minimum_us=105416.0,
    maximum_us=106528.0,
    deviation_us=260.0,
    median_us=105700.0,
    runs=50,
    peak_memory_bytes=round(54.25 * MIB),
)


@pytest.mark.parametrize("prefix", ["", "INFO: ", "I/tflite  ( 5395): "])
def test_the_classic_one(prefix):
    text = "".join(prefix + line + "\n" for line in CLASSIC.splitlines())
    assert parse_benchmark_model(text) == EXPECTED


def test_the_one_of_compiled_models():
    assert parse_benchmark_model(COMPILED) == BenchmarkModelLog(
        init_us=pytest.approx(23744730),
        first_us=pytest.approx(7441040),
        warmup_us=pytest.approx(7441040),
        average_us=pytest.approx(7430200),
        minimum_us=pytest.approx(7412110),
        maximum_us=pytest.approx(7450010),
        deviation_us=pytest.approx(9920),
        runs=10,
    )


def test_warm_up_alone_is_no_result():
    assert parse_benchmark_model(CLASSIC.splitlines()[0]) is None


@given(st.lists(st.sampled_from([*CLASSIC.splitlines(), *COMPILED.splitlines(), "=", "x"])))
@settings(deadline=None)
def test_no_text_makes_it_raise(lines):
    parse_benchmark_model("\n".join(lines))
