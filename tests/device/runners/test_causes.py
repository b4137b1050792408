"""The table of known causes: each entry by a log that shows it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgegen.device.bench.causes import crash_dump, failure_of
from edgegen.device.bench.known_causes import CAUSES
from edgegen.device.runners.device_log import lines_of, messages_of
from tests.device.engine_logs import samples

REFUSED_OPS = (
    "ERROR: Following operations are not supported by GPU delegate:\n"
    "GATHER_ND: Operation is not supported.\n"
    "28 operations will run on the GPU, and the remaining 116 operations will run on the CPU.\n"
)
# What shows a cause, how the engine ended, for whom; name, kind and the whole message.
SHOWN = [
    (
        'CANNOT LINK EXECUTABLE "./litert_lm_advanced_main": library "libX.so" not found: needed '
        "by main executable",
        1,
        "cpu",
        "missing-library",
        "missing",
        "the engine needs libX.so, which is not beside it",
    ),
    (
        'CANNOT LINK EXECUTABLE "./x": "/data/local/tmp/libX.so" has bad ELF magic: 76657273',
        1,
        "cpu",
        "library-is-a-pointer",
        "missing",
        "/data/local/tmp/libX.so is no library",
    ),
    (
        'CANNOT LINK EXECUTABLE "./x": cannot locate symbol "LiteRtGetX" referenced by "./x"...',
        1,
        "cpu",
        "version-mismatch",
        "missing",
        "engine and libraries are not of the same version: LiteRtGetX is in none of them",
    ),
    (
        "└ Could not load symbol LiteRtRegisterAcceleratorGpuOpenCl: undefined symbol: "
        "LiteRtRegisterAcceleratorGpuOpenCl.",
        1,
        "gpu",
        "version-mismatch",
        "missing",
        "engine and libraries are not of the same version: LiteRtRegisterAcceleratorGpuOpenCl is "
        "in none of them",
    ),
    (
        'CANNOT LINK EXECUTABLE "./x": "./x" is for EM_X86_64 instead of EM_AARCH64',
        1,
        "cpu",
        "other-machine",
        "missing",
        "the engine is built for another processor than the device's",
    ),
    (
        "/system/bin/sh: ./litert_lm_main: not executable: 64-bit ELF file",
        126,
        "cpu",
        "other-machine",
        "missing",
        "the engine is built for another processor than the device's",
    ),
    (
        "/system/bin/sh: ./litert_lm_main: can't execute: Permission denied",
        126,
        "cpu",
        "not-executable",
        "missing",
        "the device does not let the engine be started from its folder",
    ),
    (
        "/system/bin/sh: taskset: inaccessible or not found",
        127,
        "cpu",
        "no-taskset",
        "unsupported",
        "the device cannot pin a program to these CPUs",
    ),
    (
        "ERROR: Unknown command line flag 'max_num_tokens'. Did you mean: max_tokens ?",
        1,
        "cpu",
        "unknown-flag",
        "refused",
        "the engine does not know the flag --max_num_tokens",
    ),
    (
        "ModuleNotFoundError: No module named 'litert_lm'",
        1,
        "cpu",
        "no-package",
        "missing",
        "LiteRT-LM cannot be loaded: No module named 'litert_lm'",
    ),
    (
        REFUSED_OPS,
        134,
        "gpu",
        "unsupported-operations",
        "refused",
        "the GPU delegate refuses this model: GATHER_ND: Operation is not supported.",
    ),
    (
        "F0000 model_builder.cc:3146] EMBEDDING_LOOKUP: Unsupported external weights type: 1",
        134,
        "gpu",
        "float-embedding",
        "refused",
        "the GPU delegate aborted: it cannot look up a float embedding table",
    ),
    (
        "Token id 300 is out of range. Vocab size is 256",
        1,
        "cpu",
        "token-out-of-range",
        "refused",
        "the model produced token id 300, but the bundle's tokenizer has 256 pieces only",
    ),
    (
        "Exceeding the maximum number of tokens allowed: 257 >= 256",
        1,
        "cpu",
        "prompt-too-long",
        "refused",
        "the prompt has 257 tokens, expected fewer than the KV cache's 256",
    ),
    (
        "FAILED_PRECONDITION: Chosen prefill work group size exceeds available state\n"
        "entries (70).",
        1,
        "cpu",
        "prefill-does-not-fit",
        "refused",
        "70 slots of the KV cache are left, and the smallest prefill signature is longer",
    ),
    (
        "ERROR: Node number 1149 (DYNAMIC_UPDATE_SLICE) failed to prepare.",
        1,
        "cpu",
        "cache-too-short",
        "refused",
        "the engine's number of tokens does not go with the bundle's KV cache: a cache write "
        "(DYNAMIC_UPDATE_SLICE) does not fit",
    ),
    (
        "Max number of tokens reached, context window out of bounds",
        1,
        "cpu",
        "too-many-tokens",
        "refused",
        "prompt and answer are longer than the KV cache",
    ),
    (
        "INVALID_ARGUMENT: Main backend constraint mismatch: gpu.",
        1,
        "cpu",
        "backend-constraint",
        "refused",
        "the bundle is not meant for this delegate",
    ),
    (
        "Unable to open zip archive.",
        1,
        "cpu",
        "broken-bundle",
        "refused",
        "the engine takes the file for no bundle",
    ),
    (
        "Failed to write cache: No space left on device",
        1,
        "cpu",
        "no-space",
        "refused",
        "the device's disk is full: the engine keeps prepared weights, about as large as the model",
    ),
    (
        "clCreateBuffer: CL_MEM_OBJECT_ALLOCATION_FAILURE",
        1,
        "gpu",
        "gpu-memory",
        "out_of_memory",
        "the GPU ran out of memory (CL_MEM_OBJECT_ALLOCATION_FAILURE)",
    ),
    (
        "terminating due to uncaught exception of type std::bad_alloc",
        134,
        "cpu",
        "allocation",
        "out_of_memory",
        "the engine could not get the memory it asked for",
    ),
    (
        "Adreno 8xx with compiler E031.47.12.13 is not well supported in MLDrift OpenCL backend.",
        139,
        "gpu",
        "adreno-compiler",
        "crashed",
        "the GPU's driver compiles kernels wrongly (Adreno 8xx, compiler E031.47.12.13)",
    ),
    (
        "Failed to clEnqueueNDRangeKernel - Invalid command queue\n"
        "Node number 2068 (LITERT_CL) failed to invoke",
        1,
        "gpu",
        "gpu-queue",
        "crashed",
        "the GPU's driver failed while it computed: Failed to clEnqueueNDRangeKernel - Invalid "
        "command queue",
    ),
    (
        "Couldn't load Vulkan: libvulkan.so\nNo adapters found",
        1,
        "gpu",
        "no-gpu",
        "not_on_gpu",
        "the GPU delegate finds no GPU on this machine (libvulkan.so)",
    ),
    (
        "Can not find OpenCL library on this device",
        1,
        "gpu",
        "no-opencl",
        "not_on_gpu",
        "the engine finds no OpenCL on this device",
    ),
    (
        "WARNING: [auto_registration.cc:266] GPU accelerator could not be loaded and registered.",
        0,
        "gpu",
        "no-accelerator",
        "not_on_gpu",
        "the engine finds no library for the GPU",
    ),
    (
        "Illegal instruction (core dumped)",
        132,
        "cpu",
        "illegal-instruction",
        "crashed",
        "the engine uses instructions that this processor does not have",
    ),
]
LOGCAT = """\
11-23 20:15:16.123   479   479 I lowmemorykiller: Kill 'litert_lm_main' (4711), uid 2000, \
oom_score_adj 0 to free 4445960kB rss; reason: min watermark is breached
"""
DUMP = """11-23 20:15:16.1   900   900 F DEBUG   : *** *** *** *** *** *** *** ***
11-23 20:15:16.1   900   900 F DEBUG   : Build fingerprint: 'a/b/c'
11-23 20:15:16.1   900   900 F DEBUG   : signal 11 (SIGSEGV), code 1 (SEGV_MAPERR), fault addr 0x0
11-23 20:15:16.1   900   900 F DEBUG   :       #00 pc 0000000000000000  <unknown>
11-23 20:15:16.1   900   900 F DEBUG   :       #01 pc 0000000000171d04  /data/local/tmp/\
libLiteRtOpenClAccelerator.so
"""


@pytest.mark.parametrize(
    ("log", "code", "delegate", "name", "kind", "message"), SHOWN, ids=[row[3] for row in SHOWN]
)
def test_each_cause_is_told(log, code, delegate, name, kind, message):
    found = failure_of(f"before\n{log}\nafter\n", exit_code=code, delegate=delegate)
    assert (found.kind, found.message) == (kind, message)
    assert found.hint
    assert log.splitlines()[0][:100] in found.excerpt
    first = next(cause for cause in CAUSES if cause.pattern.search(log))
    assert first.name == name
    if first.reference and first.message:
        assert first.reference in found.hint


def test_every_cause_is_tested():
    tested = {row[3] for row in SHOWN} | {"low-memory-killer"}
    assert {cause.name for cause in CAUSES} == tested


@pytest.mark.parametrize("code", [137, -9])
def test_a_kill_for_memory_needs_a_kill(code):
    found = failure_of("loading", exit_code=code, delegate="cpu", logcat=LOGCAT)
    assert found.kind == "out_of_memory"
    assert found.message == "the device ran out of memory, and its system killed the engine"
    assert "min watermark" in found.excerpt
    other = failure_of("loading", exit_code=1, delegate="cpu", logcat=LOGCAT)
    assert (other.kind, other.message) == (
        "refused",
        "the engine failed: it ended with status 1; the last of its log:\n  loading",
    )


def test_a_kill_of_another_process_is_none_of_ours():
    found = failure_of("loading", exit_code=137, delegate="cpu", logcat=LOGCAT, pid=471)
    assert found.kind == "crashed"
    ours = failure_of("loading", exit_code=137, delegate="cpu", logcat=LOGCAT, pid=4711)
    assert ours.kind == "out_of_memory"
    both = LOGCAT.replace("4711", "99") + LOGCAT
    assert failure_of("", exit_code=137, delegate="cpu", logcat=both, pid=4711) == failure_of(
        "", exit_code=137, delegate="cpu", logcat=both, pid=99
    )


@pytest.mark.parametrize("code", [137, -9])
def test_a_kill_alone_is_no_proof_of_want_of_memory(code):
    found = failure_of("loading", exit_code=code, delegate="cpu")
    assert (found.kind, found.message, found.hint, found.excerpt) == (
        "crashed",
        "the engine was killed by SIGKILL; nothing shows that memory ran out",
        "run it again; if it stays so, close other apps, or build with a smaller recipe or "
        "--kv-cache-len",
        "loading",
    )


def test_a_kernel_that_kills_is_told():
    logcat = "11-23 20:15:16.1 0 0 E kernel: Out of memory: Killed process 4711 (litert_lm_main)"
    found = failure_of("", exit_code=137, delegate="cpu", logcat=logcat)
    assert found.message == "the device ran out of memory, and its system killed the engine"


def test_a_crash_dump_in_logcat_tells_where():
    found = failure_of("loading", exit_code=139, delegate="cpu", logcat=DUMP)
    assert found.kind == "crashed"
    assert found.message == "the engine crashed (SIGSEGV) in libLiteRtOpenClAccelerator.so"
    assert "fault addr 0x0" in found.excerpt
    on_gpu = failure_of("loading", exit_code=139, delegate="gpu", logcat=DUMP)
    assert "LiteRT-LM#3575" in on_gpu.hint
    assert crash_dump(DUMP).startswith("*** ***")
    assert crash_dump(LOGCAT) == ""


def test_an_abort_message_is_told():
    tombstone = (
        "signal 6 (SIGABRT), code -1 (SI_QUEUE), fault addr --------\n"
        "Abort message: 'Check failed: llm.ok()'\n"
        "      #00 pc 0000000000051d04  /apex/com.android.runtime/lib64/bionic/libc.so (abort+1)\n"
    )
    found = failure_of("x", exit_code=134, delegate="cpu", tombstone=tombstone)
    assert found.message == "the engine crashed (SIGABRT): Check failed: llm.ok()"


def test_a_log_without_a_gpu_is_no_cause_on_the_cpu():
    found = failure_of(samples.GPU_REFUSED, exit_code=0, delegate="cpu")
    assert found.kind == "no_result"
    assert found.message == "the engine ended without telling its times"


def test_a_program_that_is_not_there():
    found = failure_of("sh: ./litert_lm_main: not found", exit_code=127, delegate="cpu")
    assert (found.kind, found.message) == ("missing", "the device does not find the engine")


TEXTS = [row[0] for row in SHOWN] + [LOGCAT, DUMP, samples.CURRENT, samples.GPU]


@given(
    st.lists(st.one_of(st.text(max_size=60), st.sampled_from(TEXTS)), max_size=12),
    st.lists(st.one_of(st.text(max_size=60), st.sampled_from(TEXTS)), max_size=12),
    st.one_of(st.none(), st.integers(-64, 255)),
    st.sampled_from(["cpu", "gpu"]),
)
@settings(max_examples=200)
def test_no_text_makes_it_raise(log, logcat, code, delegate):
    found = failure_of("\n".join(log), exit_code=code, delegate=delegate, logcat="\n".join(logcat))
    assert found.message
    assert len(found.excerpt) < 20_000


def test_lines_of_a_process_and_of_the_system():
    log = (
        "--------- beginning of main\n"
        "11-23 20:15:16.1   900   901 I native  : ours\n"
        "11-23 20:15:16.1    77    77 I native  : theirs\n"
        "11-23 20:15:16.1    77    77 I ActivityManager: Process dev.edgegen.demo (pid 900) died\n"
        + LOGCAT
    )
    assert lines_of(log, 900, "dev.edgegen.demo").splitlines() == [
        line for line in log.splitlines()[1:] if "theirs" not in line
    ]
    assert messages_of(log, 900) == "ours"
    assert messages_of(log, None) == ""
