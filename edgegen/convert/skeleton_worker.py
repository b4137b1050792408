"""The process that traces signatures; see `edgegen.convert.skeleton`.

Reads one JSON job from stdin, writes `<signature>.tflite` files, prints a line for each.
"""

from __future__ import annotations

import ctypes
import gc
import json
import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, TextIO

# A traced signature peaks at about half a gigabyte; more at once would trade memory for
# little time.
MAX_PARALLEL = 4
_PR_SET_PDEATHSIG = 1


def main() -> int:
    """Run the job on stdin; 0 when every signature was written."""
    job = json.loads(sys.stdin.buffer.read())
    _die_with_parent(job["parent"])
    # The converter reports its progress on stdout, where only finished signatures belong.
    finished = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    from edgegen.author import author_model, merge_adapter, open_checkpoint
    from edgegen.convert.reduction import Reduction, reduce_model
    from edgegen.convert.spec import ExportSpec
    from edgegen.convert.trace import trace_signature

    checkpoint = open_checkpoint(job["checkpoint"])
    if job["adapter"] is not None:  # it may replace vectors, which the graph holds
        checkpoint = merge_adapter(checkpoint, job["adapter"]["path"], job["adapter"]["scale"])
    model = author_model(checkpoint)
    spec = ExportSpec(
        tuple(job["spec"]["prefill_lens"]),
        job["spec"]["kv_cache_len"],
        tuple(job["spec"]["composites"]),
        job["spec"]["mask_input"],
        job["spec"]["kv_cache_dtype"],
    )

    reduction = job["reduction"]
    if reduction is not None:
        model = reduce_model(model, Reduction(**reduction))

    def write(name: str, tokens: int) -> None:
        part = trace_signature(model, spec, name, tokens, with_stand_ins=reduction is not None)
        Path(job["out"], f"{name}.tflite").write_bytes(part)

    return _fork_each(model.module.signatures(spec.prefill_lens), write, finished)


def _fork_each(signatures: Mapping[str, int], write: Any, finished: TextIO) -> int:
    # Forked, so that the imports and the authored module are paid for once. This process has
    # run no parallel code yet, which is what makes that safe.
    context = multiprocessing.get_context("fork")
    waiting = list(signatures.items())
    running: dict[object, tuple[str, BaseProcess]] = {}
    # A garbage collection writes to every object it knows, and so copies memory that the
    # children share; of these objects it need not know.
    gc.collect()
    gc.freeze()
    limit = max(1, min(MAX_PARALLEL, len(os.sched_getaffinity(0))))
    while waiting or running:
        while waiting and len(running) < limit:
            name, tokens = waiting.pop(0)
            process = context.Process(target=_child, args=(os.getpid(), write, name, tokens))
            process.start()
            running[process.sentinel] = (name, process)
        for sentinel in wait([child.sentinel for _, child in running.values()]):
            name, child = running.pop(sentinel)
            child.join()
            if child.exitcode != 0:
                for _, other in running.values():
                    other.kill()
                # Its own last words are on stderr already, unless a signal ended it.
                if child.exitcode is not None and child.exitcode < 0:
                    print(f"signature {name} died of signal {-child.exitcode}", file=sys.stderr)
                return 1
            print(name, file=finished)
    return 0


def _die_with_parent(parent: int) -> None:
    """Ask Linux to end this process when its parent ends, however that comes."""
    with suppress(OSError, AttributeError):  # another system: the parent's own cleanup remains
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before we could ask
        os._exit(1)


def _child(parent: int, write: Any, name: str, tokens: int) -> None:
    _die_with_parent(parent)
    try:
        write(name, tokens)
    except Exception as error:
        traceback.print_exc()
        print(f"signature {name}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        os._exit(1)


if __name__ == "__main__":
    raise SystemExit(main())
