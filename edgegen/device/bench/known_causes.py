"""The table of known causes, for `edgegen.device.bench.causes`.

Each entry was seen, on a machine or in an issue that it names. What `edgegen.bundle.engine_log`
explains already, of bundles and of delegates, is told in its words: such entries have none.
"""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass
from typing import Literal

from edgegen.device.bench.record import FailureKind

Source = Literal["log", "logcat", "any"]

USE_CPU = "run it with --delegate cpu"
ENGINE_DIR = "see docs/how-to/bench-on-a-phone.md for what --engine-dir must hold"


@dataclass(frozen=True)
class Cause:
    """A known cause.

    Attributes:
        name: A short name for it.
        kind: What sort of failure it is.
        pattern: What shows it.
        message: What happened; `{0}` is the pattern's first group. Empty where `engine_log`
            explains it.
        hint: What to do.
        source: Where to look.
        reference: Where it was reported.
        signals: Signals of which one must have ended the engine; none means that it does not
            matter how it ended.
    """

    name: str
    kind: FailureKind
    pattern: re.Pattern[str]
    message: str = ""
    hint: str = ""
    source: Source = "log"
    reference: str = ""
    signals: tuple[int, ...] = ()


def _cause(name: str, kind: FailureKind, pattern: str, *words: str, **more: object) -> Cause:
    message, hint = (*words, "", "")[:2]
    return Cause(name, kind, re.compile(pattern), message, hint, **more)  # type: ignore[arg-type]


# The first that fits counts: what ends an engine stands before what merely accompanies that.
CAUSES: tuple[Cause, ...] = (
    _cause(
        "missing-library",
        "missing",
        r'CANNOT LINK EXECUTABLE[^\n]{0,200}library "([^"\n]{1,200})" not found',
        "the engine needs {0}, which is not beside it",
        "put it into --engine-dir; LiteRT-LM's prebuilt/android_arm64 holds it (Git LFS: fetch the "
        "file, not its pointer), of the engine's own version",
        reference="google-ai-edge/litert-samples#320",
    ),
    _cause(
        "library-is-a-pointer",
        "missing",
        r'(?:CANNOT LINK EXECUTABLE|dlopen failed)[^\n]{0,200}"([^"\n]{1,200}\.so)" '
        r"(?:has bad ELF magic|is too small)",
        "{0} is no library",
        "a Git LFS pointer looks like this: run 'git lfs pull' in LiteRT-LM's folder, and copy the "
        "file again",
        reference="google-ai-edge/litert-samples#320",
    ),
    _cause(
        "version-mismatch",
        "missing",
        r'(?:CANNOT LINK EXECUTABLE|accelerator\()[^\n]{0,300}cannot locate symbol "([^"\n]{1,300})'
        r'"',
        "engine and libraries are not of the same version: {0} is in none of them",
        "take the engine and all .so files of --engine-dir from one release",
        reference="google-ai-edge/LiteRT-LM#3135",
    ),
    _cause(
        "version-mismatch",
        "missing",
        r"Could not load symbol [^\n]{1,200}undefined symbol: (\w{1,200})",
        "engine and libraries are not of the same version: {0} is in none of them",
        "take the engine and all .so files of --engine-dir from one release",
        reference="google-ai-edge/LiteRT#2395",
    ),
    _cause(
        "other-machine",
        "missing",
        r"(?:not executable: (\S{1,40} ELF file)|is for (EM_\w+) instead of EM_\w+|Exec format "
        r"error|unexpected e_machine)",
        "the engine is built for another processor than the device's",
        "phones want the arm64 build; " + ENGINE_DIR,
    ),
    _cause(
        "not-executable",
        "missing",
        r"can't execute|cannot execute|[Pp]ermission denied",
        "the device does not let the engine be started from its folder",
        "engines must be on a disk that may hold programs, as /data/local/tmp is; /sdcard is not",
    ),
    _cause(
        "no-taskset",
        "unsupported",
        r"taskset: (?:inaccessible or )?not found|taskset: failed to set|taskset: [^\n]{0,60}"
        r"Invalid argument",
        "the device cannot pin a program to these CPUs",
        "leave --cpu-mask away, or name CPUs that edgegen devices --json lists",
    ),
    _cause(
        "unknown-flag",
        "refused",
        r"Unknown command line flag '([^'\n]{1,80})'",
        "the engine does not know the flag --{0}",
        "its --helpfull promised it; report this, with the engine's release",
    ),
    _cause("no-package", "missing", r"(?:ModuleNotFoundError|ImportError): "),
    _cause(
        "unsupported-operations",
        "refused",
        # Which, and whether the list has an end, `engine_log` reads.
        r"Following operations are not supported by GPU delegate:\n",
        reference="google-ai-edge/litert-torch#1136",
    ),
    _cause("float-embedding", "refused", r"EMBEDDING_LOOKUP: Unsupported external weights type"),
    _cause("token-out-of-range", "refused", r"Token id \d+ is out of range\. Vocab size is"),
    _cause(
        "prompt-too-long", "refused", r"Exceeding the maximum number of tokens allowed: \d+ >= \d+"
    ),
    _cause(
        "prefill-does-not-fit",
        "refused",
        r"Chosen prefill work group size exceeds available state\s+entries \((\d{1,9})\)",
        "{0} slots of the KV cache are left, and the smallest prefill signature is longer",
        "ask for fewer tokens, or build with a shorter prefill length as well: --prefill-lens",
        reference="google-ai-edge/LiteRT-LM#3444",
    ),
    _cause(
        "cache-too-short",
        "refused",
        r"\(?DYNAMIC_UPDATE_SLICE\)?[^\n]{0,80}failed to (?:prepare|invoke)",
        "the engine's number of tokens does not go with the bundle's KV cache: a cache write "
        "(DYNAMIC_UPDATE_SLICE) does not fit",
        "a bundle newer than the engine says so: take a newer engine; else build with a larger "
        "--kv-cache-len",
        reference="DenisovAV/flutter_gemma#330, #318",
    ),
    _cause(
        "too-many-tokens",
        "refused",
        r"Max number of tokens reached|context window out of bounds",
        "prompt and answer are longer than the KV cache",
        "ask for fewer tokens, or build with a larger --kv-cache-len",
        reference="google-ai-edge/LiteRT-LM#2799",
    ),
    _cause(
        "backend-constraint",
        "refused",
        r"backend constraint (?:mismatch|is not (?:matched|satisfied))[^\n]{0,100}",
        "the bundle is not meant for this delegate",
        "choose the other --delegate, or change the bundle's backends with edgegen edit",
        reference="google-ai-edge/LiteRT-LM#2461",
    ),
    _cause(
        "broken-bundle",
        "refused",
        r"Unable to open zip archive|Invalid magic number in LiteRT-?LM file",
        "the engine takes the file for no bundle",
        "look at it with edgegen check, and push it again",
        reference="google-ai-edge/gallery#60",
    ),
    _cause(
        "no-space",
        "refused",
        r"[Nn]o space left on device|ENOSPC",
        "the device's disk is full: the engine keeps prepared weights, about as large as the model",
        "free some space on the device",
    ),
    _cause(
        "low-memory-killer",
        "out_of_memory",
        r"(?:lowmemorykiller|lmkd)[^\n]{0,40}: (?:Kill|Reclaim)[^\n]{0,400}|"
        r"[Oo]ut of memory: Kill(?:ed)? process[^\n]{0,200}",
        "the device ran out of memory, and its system killed the engine",
        "close other apps, or build with a smaller recipe or --kv-cache-len",
        source="logcat",
        reference="google-ai-edge/LiteRT-LM#3507",
        signals=(signal.SIGKILL,),
    ),
    _cause(
        "gpu-memory",
        "out_of_memory",
        r"(CL_OUT_OF_HOST_MEMORY|CL_OUT_OF_RESOURCES|CL_MEM_OBJECT_ALLOCATION_FAILURE|"
        r"VK_ERROR_OUT_OF_(?:DEVICE|HOST)_MEMORY)",
        "the GPU ran out of memory ({0})",
        "close other apps, build with a smaller recipe or --kv-cache-len, or " + USE_CPU,
        reference="mlc-ai/mlc-llm#2926",
    ),
    _cause(
        "allocation",
        "out_of_memory",
        r"std::bad_alloc|Cannot allocate memory|\bENOMEM\b|Scudo ERROR: [^\n]{0,80}out of memory",
        "the engine could not get the memory it asked for",
        "close other apps, or build with a smaller recipe or --kv-cache-len",
        source="any",
    ),
    _cause(
        "adreno-compiler",
        "crashed",
        r"Adreno 8xx with compiler (E031\.47\.12\S{0,20})",
        "the GPU's driver compiles kernels wrongly (Adreno 8xx, compiler {0})",
        "update the phone's system, or " + USE_CPU,
    ),
    _cause(
        "gpu-queue",
        "crashed",
        r"(Failed to cl\w{1,60}[^\n]{0,100}|Node number \d{1,9} \(LITERT_\w{1,20}\) failed to "
        r"invoke)",
        "the GPU's driver failed while it computed: {0}",
        "try another release of the engine, or " + USE_CPU,
        reference="google-ai-edge/LiteRT-LM#1850",
    ),
    _cause("no-gpu", "not_on_gpu", r"No adapters found"),
    _cause(
        "no-opencl",
        "not_on_gpu",
        r'Can ?not (?:find|open) OpenCL library[^\n]{0,200}|"libOpenCL[\w-]{0,20}\.so" not found|'
        r"OpenCL library not loaded|OpenCL not supported on this platform|No supported OpenCL "
        r"platform",
        "the engine finds no OpenCL on this device",
        "edgegen devices --json says whether commands can reach one (opencl_reachable); an app "
        "must name libOpenCL.so in its manifest; else " + USE_CPU,
        source="any",
        reference="google-ai-edge/LiteRT-LM#1860, #2292",
    ),
    _cause(
        "no-accelerator",
        "not_on_gpu",
        r"GPU accelerator could not be (?:dynamically )?loaded and registered",
        "the engine finds no library for the GPU",
        "put libLiteRtOpenClAccelerator.so into --engine-dir, of the engine's own version; "
        + ENGINE_DIR,
        reference="google-ai-edge/LiteRT-LM#1448",
    ),
    _cause(
        "illegal-instruction",
        "crashed",
        r"Illegal instruction|signal 4 \(SIGILL\)",
        "the engine uses instructions that this processor does not have",
        "take a build for older processors, or build the engine for this one",
        source="any",
        reference="google-ai-edge/LiteRT-LM#1847",
    ),
)
