"""Conversion must not grow with the model: a hundred times the weights, the same memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from benchmarks import convert as benchmark

MIB = 1 << 20
SMALL = {
    "vocab_size": 512,
    "hidden_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "intermediate_size": 512,
}
LARGE = {**SMALL, "vocab_size": 32768, "hidden_size": 2048, "intermediate_size": 8192}


def peak_bytes(folder: Path, shape: dict[str, int]) -> int:
    folder.mkdir()
    benchmark.write_checkpoint(folder, shape)
    command = [sys.executable, benchmark.__file__, "--child", folder, folder / "m.tflite"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(json.loads(done.stdout.splitlines()[-1])["tree_peak_memory_bytes"])


def test_peak_memory_does_not_grow_with_the_weights(tmp_path: Path) -> None:
    small, large = peak_bytes(tmp_path / "small", SMALL), peak_bytes(tmp_path / "large", LARGE)

    stored = (tmp_path / "large" / "model.safetensors").stat().st_size
    assert stored > 350 * MIB
    assert large - small < 100 * MIB
