"""Against lines that LiteRT-LM 0.18.1 really wrote."""

from __future__ import annotations

import signal
import time

import pytest

from edgegen.bundle import Delegation
from edgegen.bundle.engine_gpu import delegations
from edgegen.bundle.engine_log import explain, gpu_adapter, quote, refused_by_gpu
from edgegen.errors import EngineError

ON_GPU = """\
I0000 00:00:1795398056.318980    6720 environment.cc:532] Selected adapter: SwiftShader Device
VERBOSE: Replacing 99 out of 99 node(s) with delegate (LITERT_WEBGPU) node, yielding 1 \
partitions for subgraph 0 (prefill_8).
VERBOSE: Replacing 126 out of 126 node(s) with delegate (LITERT_WEBGPU) node, yielding 1 \
partitions for subgraph 2 (decode).
"""
REFUSED = """\
ERROR: Following operations are not supported by GPU delegate:
BROADCAST_TO: Operation is not supported.
GATHER_ND: Operation is not supported.
55 operations will run on the GPU, and the remaining 46 operations will run on the CPU.
ERROR: Hint fully delegated to single delegate is set, but the graph is not fully delegated.
"""


def test_delegations_are_read_from_the_log() -> None:
    assert delegations("INFO: something\n" + ON_GPU) == (
        Delegation("LITERT_WEBGPU", 99, 99, 1, "prefill_8"),
        Delegation("LITERT_WEBGPU", 126, 126, 1, "decode"),
    )
    assert gpu_adapter(ON_GPU) == "SwiftShader Device"
    assert gpu_adapter("") is None


def test_refused_operations_are_listed() -> None:
    error = explain(REFUSED, "RuntimeError: Failed to create LiteRT-LM engine", 1, "gpu")

    assert "BROADCAST_TO: Operation is not supported.; GATHER_ND" in error.message
    assert "--delegate cpu" in str(error.hint)


def test_of_several_lists_of_refused_operations_the_last_counts() -> None:
    error = refused_by_gpu(REFUSED + REFUSED.replace("BROADCAST_TO", "CAST"))

    assert error is not None
    assert error.message == (
        "the GPU delegate refuses this model: CAST: Operation is not supported.; "
        "GATHER_ND: Operation is not supported."
    )


@pytest.mark.parametrize(
    "log",
    [
        REFUSED.partition("55 operations")[0],
        REFUSED.splitlines(keepends=True)[0] + "x\n" * 201 + REFUSED.splitlines()[3],
    ],
    ids=["cut off", "endless"],
)
def test_a_list_of_refused_operations_without_an_end_is_none(log: str) -> None:
    assert refused_by_gpu(log) is None


def test_a_log_of_one_line_again_and_again_is_read_in_time() -> None:
    log = "ERROR: Following operations are not supported by GPU delegate:\n" * 60_000
    began = time.monotonic()
    explained = explain(log, None, 1, "gpu")
    assert time.monotonic() - began < 5
    assert explained.message.startswith("the engine failed: it ended with status 1")


def test_what_explains_a_failure_is_bounded() -> None:
    log = "Token id 811 is out of range. Vocab size is 600\n" + "x\n" * 2**21 + "ERROR: the end\n"
    assert explain(log, None, 1, "cpu").message == (
        "the engine failed: it ended with status 1; the last of its log:\n  the end"
    )


@pytest.mark.parametrize(
    ("log", "error", "returncode", "delegate", "says"),
    [
        (
            "F0000 1 model_builder.cc:3146] EMBEDDING_LOOKUP: Unsupported external weights type: 1",
            None,
            -signal.SIGABRT,
            "gpu",
            "cannot look up a float embedding table",
        ),
        ("INFO: x", None, -signal.SIGSEGV, "gpu", r"crashed \(SIGSEGV\) .* weight-only int8"),
        ("INFO: x", None, -signal.SIGSEGV, "cpu", "killed by SIGSEGV"),
        ("INFO: x", None, -signal.SIGKILL, "cpu", "SIGKILL, most likely .* out of memory"),
        ("INFO: x", None, -signal.SIGRTMIN - 3, "cpu", r"killed by signal \d+"),
        (
            "Warning: Couldn't load Vulkan: libvulkan.so.1: cannot open\n"
            "ERROR: Failed to initialize WebGPU environment: INTERNAL: No adapters found",
            "RuntimeError: Failed to create",
            0,
            "gpu",
            r"finds no GPU on this machine \(libvulkan\.so\.1: cannot open\)",
        ),
        (
            "",
            "RuntimeError: NOT_FOUND: Token id 811 is out of range. Vocab size is 600",
            0,
            "cpu",
            "token id 811, but the bundle's tokenizer has 600 pieces",
        ),
        (
            "Input token ids are too long. Exceeding the maximum number of tokens allowed: "
            "482 >= 128",
            "RuntimeError: litert_lm_session_run_prefill failed",
            0,
            "cpu",
            "the prompt has 482 tokens, expected fewer than the KV cache's 128",
        ),
        ("", "ModuleNotFoundError: No module named 'x'", 0, "cpu", "cannot be loaded: No module"),
        ("", "RuntimeError: something new", 0, "cpu", "the engine failed: RuntimeError: something"),
        ("", None, 3, "cpu", "it ended with status 3"),
    ],
)
def test_causes_are_told_in_plain_words(
    log: str, error: str | None, returncode: int, delegate: str, says: str
) -> None:
    explained = explain(log, error, returncode, delegate)

    with pytest.raises(EngineError, match=says):
        raise explained
    assert explained.hint


def test_the_telling_lines_are_quoted_without_their_stamps() -> None:
    log = "\n".join(
        (
            "INFO: Failed to load OpenCL library",
            "E0000 00:00:1795398001.094630    6494 engine.cc:854] Failed to create engine",
            "└ ERROR: [compiled_model.cc:1036]",
            "VERBOSE: destroyed",
        )
    )

    assert (
        quote(log)
        == "  engine.cc:854] Failed to create engine\n  └ ERROR: [compiled_model.cc:1036]"
    )


def test_the_last_lines_are_quoted_where_none_is_telling() -> None:
    assert quote("one\n\ntwo\n") == "  one\n  two"
