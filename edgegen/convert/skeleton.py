"""The model's graph without its matrices.

Tracing and lowering are the costly part of conversion, and their cost grows with what flows
through them. So the module is traced with its matrices as graph inputs (zeros of stride 0
stand for them): time and memory then depend on the number of layers, not on their width.
`edgegen.convert.graph` turns those inputs back into constants.

The work happens in a fresh process (`skeleton_worker`), which forks one child per signature:
the signatures are independent, the memory is returned when they end, and a native crash
becomes an error message. It must be fresh because a process that has already run parallel
torch code cannot fork safely.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from edgegen.author import AuthoredModel
from edgegen.convert.spec import ExportSpec
from edgegen.errors import ConversionError
from edgegen.progress import stage

WEIGHT_INPUT_PREFIX = "weights_"

# The worker finds the same modules as we do, and none of the current folder's: that may be a
# checkpoint, whose code is never run.
_START_WORKER = (
    "import sys; sys.path[:] = sys.argv[1:]; "
    "from edgegen.convert.skeleton_worker import main; raise SystemExit(main())"
)
_LOGGER = logging.getLogger("edgegen.convert")


def trace_skeleton(model: AuthoredModel, spec: ExportSpec) -> dict[str, bytes]:
    """Trace and lower every signature of a model.

    Args:
        model: The model; of its weights only vectors and kernels are read.
        spec: The signatures.

    Returns:
        For each signature a TFLite flatbuffer whose matrices are inputs named
        `weights_<parameter>`.

    Raises:
        ConversionError: the model cannot be traced or lowered, or it has nothing that one of the
            composites asked for could be drawn around.
    """
    with tempfile.TemporaryDirectory(prefix="edgegen-") as scratch:
        folder, names = Path(scratch), model.module.signatures(spec.prefill_lens)
        checkpoint, adapter = model.checkpoint.path.resolve(), model.checkpoint.adapter
        job = {
            "checkpoint": str(checkpoint),
            "adapter": adapter and {"path": str(adapter.path.resolve()), "scale": adapter.scale},
            "spec": asdict(spec),
            "out": scratch,
        }
        _run_worker(job, len(names), folder / "log")
        parts = {name: (folder / f"{name}.tflite").read_bytes() for name in names}
    for composite in spec.composites:
        if not any(composite.encode() in part for part in parts.values()):
            raise ConversionError(
                f"nothing in this model can be drawn as {composite}", "leave this composite out"
            )
    return parts


def _run_worker(job: Mapping[str, object], signatures: int, log: Path) -> None:
    command = [sys.executable, "-c", _START_WORKER, *sys.path]
    with (
        stage("trace", signatures, "signatures") as advance,
        log.open("wb") as errors,
        # A session of its own, so that the worker and its children end together.
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
        ) as worker,
    ):
        try:
            assert worker.stdin is not None
            assert worker.stdout is not None
            with suppress(BrokenPipeError):  # it died at once; its status says why
                worker.stdin.write(json.dumps(job).encode())
                worker.stdin.close()
            for _ in worker.stdout:  # one line for each finished signature
                advance(1)
            status = worker.wait()
        finally:
            with suppress(ProcessLookupError):
                os.killpg(worker.pid, signal.SIGKILL)
    text = log.read_text(errors="replace")
    _LOGGER.debug("%s", text)
    if status != 0:
        raise _failure(status, text)


def _failure(status: int, log: str) -> ConversionError:
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    last = lines[-1] if lines else "it left no message"
    how = f"was killed by {signal.Signals(-status).name}" if status < 0 else "failed"
    hint = "run with -v to see everything that the converter printed"
    if status == -signal.SIGKILL:
        hint = "the system probably ran out of memory; export fewer prefill lengths at once"
    return ConversionError(f"tracing the model {how}: {last}", hint)
