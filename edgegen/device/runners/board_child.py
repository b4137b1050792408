"""The process that measures on a board: reads a request, writes one JSON file, and ends.

It runs there without edgegen, beside a copy of `edgegen/bundle/engine_measure.py`.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any


def main(request_path: str, answer_path: str) -> None:
    """Measure once; write `done`, by the names of `Metrics`, or `error`.

    The answer appears under its name when it is whole.
    """
    with open(request_path, encoding="utf-8") as file:  # noqa: PTH123
        request = json.load(file)
    try:
        answer: dict[str, Any] = {"done": _measure(request)}
    except Exception as error:
        answer = {"error": f"{type(error).__name__}: {error}"}
    with open(f"{answer_path}.part", "w", encoding="utf-8") as file:  # noqa: PTH123
        json.dump(answer, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(f"{answer_path}.part", answer_path)  # noqa: PTH105


def _measure(request: dict[str, Any]) -> dict[str, Any]:
    import engine_measure  # type: ignore[import-not-found]
    import litert_lm

    # As in edgegen/bundle/engine_child.py.
    litert_lm.set_min_log_severity(litert_lm.LogSeverity.VERBOSE)
    if request["delegate"] == "gpu":
        backend = litert_lm.Backend.GPU()
    else:
        backend = litert_lm.Backend.CPU(thread_count=request["threads"])
    types = {
        None: None,
        "f32": litert_lm.ActivationDataType.FLOAT32,
        "f16": litert_lm.ActivationDataType.FLOAT16,
    }
    options = {
        "model_path": request["bundle"],
        "backend": backend,
        "cache_dir": request["cache_dir"],
        "activation_data_type": types[request["activations"]],
    }
    found: dict[str, Any] = engine_measure.measure(options, request)
    return found


if __name__ == "__main__":
    main(*sys.argv[1:])
