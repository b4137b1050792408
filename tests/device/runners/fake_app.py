"""Stands for the Android app on the double: reads a request and follows the contract.

    python fake_app.py ROOT PACKAGE ID

What it shall do wrong is the content of ROOT/mode.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path


def main(root: Path, package: str, name: str) -> None:
    mode = (root / "mode").read_text().strip()
    files = root / "data/data" / package / "files"
    folder = files / "bench" / name
    request = json.loads((folder / "request.json").read_text())
    log = root / "logcat.txt"

    def say(tag: str, text: str, pid: int = os.getpid(), severity: str = "I") -> None:
        with log.open("a") as file:
            file.write(f"11-23 20:15:16.123 {pid:5} {pid:5} {severity} {tag}: {text}\n")

    def tell(state: str, **more: object) -> None:
        say("edgegen.bench", json.dumps({"id": name, "state": state, **more}))

    def finish(**parts: object) -> None:
        result = {"protocol": "edgegen.app-runner/1", "id": name, **parts}
        part = folder / "result.json.part"
        part.write_text(json.dumps(result))
        part.rename(folder / "result.json")

    def fail(kind: str, message: str, hint: str) -> None:
        tell("failed")
        finish(failure={"kind": kind, "message": message, "hint": hint})

    tell("started", pid=os.getpid())
    if mode == "killed":
        say("lowmemorykiller", f"Kill '{package}' ({os.getpid()}), uid 10247; min watermark", 479)
        os.kill(os.getpid(), signal.SIGKILL)
    if mode == "segv":
        say("DEBUG", "*** *** *** *** *** *** ***", 900, "F")
        say("DEBUG", "signal 11 (SIGSEGV), code 1 (SEGV_MAPERR), fault addr 0x0", 900, "F")
        os.kill(os.getpid(), signal.SIGSEGV)
    if mode == "exception":
        say("AndroidRuntime", "FATAL EXCEPTION: main", severity="E")
        say("AndroidRuntime", "java.lang.IllegalStateException: no", severity="E")
        os._exit(1)
    if mode == "hangs":
        time.sleep(600)
    if mode == "hot":
        fail("too_hot", "the phone's thermal status is severe", "let it cool down")
        return
    if mode == "garbage":
        (folder / "result.json").write_text("no json {")
        return
    if mode == "neither":
        finish()
        return
    if mode == "both":
        finish(metrics={"init_ms": 1}, failure={"kind": "refused", "message": "x"})
        return
    if mode == "wrong type":
        finish(metrics={"init_ms": "soon"})
        return
    if mode == "other version":
        finish(protocol="edgegen.app-runner/9")
        return
    if mode == "other request":
        finish(id="0123")
        return
    if mode == "bad request" or request["protocol"] != "edgegen.app-runner/1":
        fail("refused", "the request has no 'bundle'", "see the contract")
        return
    bundle = files.parent / request["bundle"]
    if mode == "no bundle":
        bundle.unlink()
    if not bundle.is_file():
        fail("missing", f"there is no {request['bundle']}", "push it again")
        return
    for state in ("opening", "prefill", "decode"):
        tell(state)
    gpu = request["delegate"] == "gpu" and mode != "cpu after all"
    delegate = "LITERT_CL" if gpu else "TfLiteXNNPackDelegate"
    if gpu:
        say("tflite", "Loaded OpenCL library with dlopen.")
        say("litert", "RegisterAccelerator: ptr=0x1, name=GPU OpenCL")
    odd = {
        "slower than nothing": {"decode_tokens_per_s": -30.5},
        "no time": {"init_ms": 0},
        "uncounted": {"decode_tokens": None},
    }
    finish(
        wall_s=1.5,
        way="session",
        metrics={
            "init_ms": 100.5,
            "ttft_ms": 20.25,
            "prefill_tokens": request["prefill_tokens"],
            "prefill_tokens_per_s": 400.5,
            "decode_tokens": request["decode_tokens"] - (mode == "short"),
            "decode_tokens_per_s": 30.5,
            **odd.get(mode, {}),
        },
        memory={"peak_pss_bytes": 123456789},
        delegations=[
            {
                "delegate": delegate,
                "nodes_delegated": 9,
                "nodes_total": 9,
                "partitions": 1,
                "signature": signature,
            }
            for signature in ("decode", "prefill_32")
        ],
        missing={"gpu_bytes": "the driver does not tell"},
        log=f"cold={request['cold']} {bundle.stat().st_size}",
        a_field_of_tomorrow=1,
    )
    tell("done")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
