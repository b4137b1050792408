"""The proof that a GPU computed, against lines that engines really wrote."""

from __future__ import annotations

import time

import pytest

from edgegen.bundle.engine_gpu import (
    Replaced,
    check_gpu_ran,
    delegations,
    fallbacks,
    replaced_nodes,
    whole_on_gpu,
)
from edgegen.bundle.engine_types import Delegation
from edgegen.errors import EngineError
from tests.device.engine_logs import samples

ON_GPU = samples.SWIFTSHADER
PREFILL_8 = (
    "VERBOSE: Replacing {} out of 10 node(s) with delegate (LITERT_WEBGPU) node, yielding 1 "
    "partitions for subgraph 4 (prefill_8).\n"
)


def test_lines_of_delegates_are_read() -> None:
    assert delegations(ON_GPU) == (
        Delegation("LITERT_WEBGPU", 228, 228, 1, "prefill_128"),
        Delegation("LITERT_WEBGPU", 228, 228, 1, "prefill_32"),
        Delegation("LITERT_WEBGPU", 228, 228, 1, "prefill_16"),
        Delegation("LITERT_WEBGPU", 249, 249, 1, "decode"),
    )
    assert delegations(samples.GPU_UNNAMED) == ()
    assert replaced_nodes(samples.GPU_UNNAMED) == [
        Replaced("LITERT_CL", 796, 796, 1, ""),
        Replaced("LITERT_CL", 782, 782, 1, ""),
    ]


@pytest.mark.parametrize(
    "log",
    [
        ON_GPU,
        ON_GPU.replace("LITERT_WEBGPU", "LITERT_CL"),
        samples.GPU,
        ON_GPU + "W0000 x.cc:1] GPU sampler unavailable. Falling back to CPU sampling. To use it\n",
        ON_GPU + PREFILL_8.format(10),
    ],
    ids=["WebGPU", "LITERT_CL", "OpenCL", "sampling on the CPU", "another prefill"],
)
def test_a_gpu_that_ran_all_is_believed(log: str) -> None:
    check_gpu_ran(log)


@pytest.mark.parametrize(
    ("log", "shows"),
    [
        ("", "no delegate at all"),
        (samples.ON_CPU, "prefill_128: TfLiteXNNPackDelegate 210/228; "
         "prefill_32: TfLiteXNNPackDelegate 210/228; prefill_16: TfLiteXNNPackDelegate 210/228; "
         "decode: TfLiteXNNPackDelegate 232/249"),
        (PREFILL_8.format(10), "prefill_8: LITERT_WEBGPU 10/10"),
        (PREFILL_8.format(10).replace("prefill_8", "decode"), "decode: LITERT_WEBGPU 10/10"),
        (
            PREFILL_8.format(10) + PREFILL_8.format(3).replace("prefill_8", "prefill_512")
            + PREFILL_8.format(10).replace("prefill_8", "decode"),
            "prefill_8: LITERT_WEBGPU 10/10; prefill_512: LITERT_WEBGPU 3/10; "
            "decode: LITERT_WEBGPU 10/10",
        ),
        (
            (PREFILL_8 + PREFILL_8.replace("prefill_8", "decode")).replace("10", "0").format(0, 0),
            "prefill_8: LITERT_WEBGPU 0/0; decode: LITERT_WEBGPU 0/0",
        ),
        (
            samples.GPU + "W0000 x.cc:7] GPU failed, falling back to CPU.\n",
            "decode: LITERT_CL 2068/2068; prefill_1024: LITERT_CL 1107/1107; "
            "W0000 x.cc:7] GPU failed, falling back to CPU.",
        ),
    ],
    ids=["nothing", "cpu", "no decode", "no prefill", "in part", "no nodes", "fallback"],
)  # fmt: skip
def test_a_gpu_that_did_not_is_an_error(log: str, shows: str) -> None:
    with pytest.raises(EngineError) as caught:
        check_gpu_ran(log)
    assert caught.value.message == (
        "the engine was asked to use the GPU but its log does not show that the GPU ran prefill "
        f"and decode; it shows: {shows}"
    )
    assert caught.value.hint == (
        "nothing can be said about the GPU here; run it with --delegate cpu"
    )


@pytest.mark.parametrize(
    ("signatures", "proven"), [(None, True), (2, True), (3, False), (0, True), (1, True)]
)
def test_graphs_without_names_must_be_as_many_as_signatures(
    signatures: int | None, proven: bool
) -> None:
    taken = replaced_nodes(samples.GPU_UNNAMED)
    assert whole_on_gpu(taken, signatures) is proven
    assert not whole_on_gpu(taken[:1], signatures)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("falling back to CPU", True),
        ("Fallback to CPU backend", True),
        ("28 operations will run on the GPU, and the remaining 116 operations will run on the CPU.",
         True),
        ("28 operations will run on the GPU, and the remaining 0 operations will run on the CPU.",
         False),
        ("Falling back to CPU sampling; falling back to CPU for prefill", True),
        ("GPU sampler unavailable. Falling back to CPU sampling. To use GPU sampling", False),
        ("WebGPU sampler not available, falling back to statically linked C API.", False),
        ("INFO: [cpu_registry.cc:75] XNNPACK CPU accelerator registered.", False),
    ],
)  # fmt: skip
def test_lines_of_work_left_to_the_cpu(line: str, told: bool) -> None:
    assert fallbacks(f"before\n{line}\nafter") == ((line,) if told else ())
    assert fallbacks(ON_GPU) == ()


def test_a_line_without_an_end_is_read_in_time() -> None:
    began = time.monotonic()
    found = fallbacks("fallback to CPU, " * 200_000)
    assert time.monotonic() - began < 5
    assert max(map(len, found)) <= 500
