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

from ai_edge_litert.tools import flatbuffer_utils

from edgegen.author import AuthoredModel
from edgegen.convert.reduction import Reduction, find_reduction, reduce_model
from edgegen.convert.skeleton_cache import keep_skeleton, load_skeleton, skeleton_key
from edgegen.convert.spec import ExportSpec
from edgegen.convert.stamp import UnlikeLayersError, stamp
from edgegen.convert.stand_ins import UnknownConstantError, find_uses
from edgegen.convert.trace import is_streamed
from edgegen.errors import ConversionError
from edgegen.progress import stage

# The worker finds the same modules as we do, and none of the current folder's: that may be a
# checkpoint, whose code is never run.
_START_WORKER = (
    "import sys; sys.path[:] = sys.argv[1:]; "
    "from edgegen.convert.skeleton_worker import main; raise SystemExit(main())"
)
_LOGGER = logging.getLogger("edgegen.convert")


def trace_skeleton(model: AuthoredModel, spec: ExportSpec) -> dict[str, bytes]:
    """Trace and lower every signature of a model.

    Of a decoder whose layers repeat only some are traced, and what was traced before is taken
    from `edgegen.convert.skeleton_cache`.

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
    # A composite is a graph of its own, which is not stamped.
    reduction = None if spec.composites else find_reduction(model.module)
    if reduction is not None:
        parts = _traced(model, spec, reduction)
        try:
            return {name: _whole(part, model, reduction) for name, part in parts.items()}
        except (UnknownConstantError, UnlikeLayersError) as error:
            _LOGGER.info("every layer is traced: %s", error)
    parts = _traced(model, spec, None)
    for composite in spec.composites:
        if not any(composite.encode() in part for part in parts.values()):
            raise ConversionError(
                f"nothing in this model can be drawn as {composite}", "leave this composite out"
            )
    return parts


def _traced(
    model: AuthoredModel, spec: ExportSpec, reduction: Reduction | None
) -> dict[str, bytes]:
    """Return the graph of each signature as traced, now or before."""
    names = model.module.signatures(spec.prefill_lens)
    key = skeleton_key(model, spec, reduction)
    kept = load_skeleton(key)
    if kept is not None and kept.keys() == names.keys():
        _LOGGER.info("the traced graph was kept from before")
        return {name: kept[name] for name in names}
    with tempfile.TemporaryDirectory(prefix="edgegen-") as scratch:
        folder = Path(scratch)
        checkpoint, adapter = model.checkpoint.path.resolve(), model.checkpoint.adapter
        job = {
            "checkpoint": str(checkpoint),
            "adapter": adapter and {"path": str(adapter.path.resolve()), "scale": adapter.scale},
            "spec": asdict(spec),
            "reduction": reduction and asdict(reduction),
            "out": scratch,
            "parent": os.getpid(),
        }
        _run_worker(job, len(names), folder / "log")
        parts = {name: (folder / f"{name}.tflite").read_bytes() for name in names}
    keep_skeleton(key, parts)
    return parts


def _whole(traced: bytes, model: AuthoredModel, reduction: Reduction) -> bytes:
    """Stamp out the layers that were not traced, and put in the vectors."""
    part = flatbuffer_utils.convert_bytearray_to_object(bytearray(traced))
    reduced = reduce_model(model, reduction)
    vectors = {n: s.shape for n, s in reduced.sources.items() if not is_streamed(s.shape)}
    decoders = reduced.module, model.module
    stamp(
        part,
        find_uses(part, vectors),
        reduction,
        decoders,
        lambda name: model.sources[name].read(),
    )
    return bytes(flatbuffer_utils.convert_object_to_bytearray(part))


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
