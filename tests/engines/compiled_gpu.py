"""Any `.tflite` on LiteRT's GPU delegate, with no operator left to the CPU.

Run as `python -m tests.engines.compiled_gpu model.tflite signature inputs.npz outputs.npz`: a
process of its own, because the loader reads the driver's name once.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.engines.swiftshader import swiftshader_environment

ROOT = Path(__file__).parents[2]


class Refused(Exception):
    """The delegate does not take the model, or died of it."""


def run_on_gpu(
    model: Path, signature: str | None, inputs: Mapping[str, npt.NDArray[Any]], folder: Path
) -> dict[str, npt.NDArray[np.float32]]:
    """Return the outputs of a signature (`None`: the only one); files are left in `folder`."""
    given, found = folder / "inputs.npz", folder / "outputs.npz"
    np.savez(given, **inputs)
    run = subprocess.run(
        [sys.executable, "-m", __name__, str(model), signature or "", str(given), str(found)],
        cwd=ROOT,
        env={**os.environ, **swiftshader_environment()},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if run.returncode != 0:
        raise Refused(f"status {run.returncode}: {run.stderr[-4000:]}")
    with np.load(found) as outputs:
        return dict(outputs)


def main(model: str, signature: str, given: str, found: str) -> None:
    from ai_edge_litert.compiled_model import CompiledModel
    from ai_edge_litert.hardware_accelerator import HardwareAccelerator

    # Without the CPU beside it an operator that the delegate refuses is an error here.
    compiled = CompiledModel.from_file(model, HardwareAccelerator.GPU)
    assert compiled.is_fully_accelerated()
    signatures = compiled.get_signature_list()
    name = signature or next(iter(signatures))
    inputs, outputs = {}, {}
    with np.load(given) as values:
        for key in signatures[name]["inputs"]:
            inputs[key] = compiled.create_input_buffer_by_name(name, key)
            inputs[key].write(np.ascontiguousarray(values[key]))
    for key in signatures[name]["outputs"]:
        outputs[key] = compiled.create_output_buffer_by_name(name, key)
    compiled.run_by_name(name, inputs, outputs)
    results = {}
    for key, buffer in outputs.items():
        shape = buffer.get_tensor_details()["shape"]
        results[key] = buffer.read(int(np.prod(shape)), np.float32).reshape(shape)
    np.savez(found, **results)


if __name__ == "__main__":
    main(*sys.argv[1:])
