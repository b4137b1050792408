"""This machine: LiteRT-LM in a child process per run."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import tempfile
from collections.abc import Iterator
from pathlib import Path

from edgegen.bundle.contents import Bundle
from edgegen.bundle.engine import measure
from edgegen.bundle.engine_types import Measurement, MeasureRequest
from edgegen.device.samples import BenchSpec, DeviceFacts


def describe() -> DeviceFacts:
    """Return processor, memory and versions of this machine."""
    return DeviceFacts(
        name=_processor(),
        cpus=len(os.sched_getaffinity(0)),
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        system=f"{platform.system()} {platform.release()}",
        engine=f"litert-lm {importlib.metadata.version('litert-lm-api')}",
    )


def measurements(bundle: Bundle, spec: BenchSpec) -> Iterator[Measurement]:
    """Yield warm-up and kept runs.

    The engine keeps prepared weights in a temporary folder that starts empty and is removed
    at the end. Left to itself it would leave them beside the bundle.
    """
    with cache_folder(bundle.path.parent) as cache:
        request = MeasureRequest(
            prefill_tokens=spec.prefill_tokens,
            decode_tokens=spec.decode_tokens,
            delegate=spec.delegate,
            threads=spec.threads,
            cache_dir=cache,
            timeout_s=spec.timeout_s,
        )
        for _ in range(spec.warmup + spec.repeats):
            yield measure(bundle, request)


@contextlib.contextmanager
def cache_folder(beside: Path) -> Iterator[Path]:
    """Make a temporary folder for prepared weights, which are as large as the model.

    It lies hidden in the bundle's folder, on a disk that holds such files. The system's
    folder for temporary files, often in memory, is used only where that one is read-only.
    """
    try:
        folder = tempfile.TemporaryDirectory(prefix=".edgegen-bench-", dir=beside.absolute())
    except OSError:
        folder = tempfile.TemporaryDirectory(prefix="edgegen-bench-")
    with folder as name:
        yield Path(name)


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()  # ARM's cpuinfo names no model
