"""Wall time and memory of converting real model shapes with random bf16 weights.

Each conversion is a fresh `python benchmarks/convert.py --child ...` process, so that import
time counts and memory is that run's alone. Two figures of memory are printed: the largest
single process, and the whole tree with shared pages counted once.

    python benchmarks/convert.py                       # both shapes, int8
    python benchmarks/convert.py --shape smollm-135m --recipe none --repeats 3
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

SHAPES: dict[str, dict[str, int | bool]] = {
    "smollm-135m": {
        "vocab_size": 49152,
        "hidden_size": 576,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "intermediate_size": 1536,
    },
    "llama-3.2-1b": {
        "vocab_size": 128256,
        "hidden_size": 2048,
        "num_hidden_layers": 16,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "intermediate_size": 8192,
    },
    "llama-3.1-8b": {
        "vocab_size": 128256,
        "hidden_size": 4096,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "intermediate_size": 14336,
        "tie_word_embeddings": False,
    },
}
# 16 GB of weights are asked for by name.
USUAL = ("smollm-135m", "llama-3.2-1b")
MIB = 1 << 20


def write_checkpoint(folder: Path, shape: dict[str, int | bool]) -> None:
    """Write a checkpoint of that shape, streamed, so that making it needs no memory either."""
    from edgegen.author.models import architecture

    config = {
        "model_type": "llama",
        "tie_word_embeddings": True,
        **shape,
        "max_position_embeddings": 8192,
        "rms_norm_eps": 1e-5,
    }
    (folder / "config.json").write_text(json.dumps(config))
    import torch

    chosen = architecture("llama")
    with torch.device("meta"):
        decoder = chosen.build(chosen.read_config(config))
    header, offset = {}, 0
    for name, parameter in decoder.named_parameters():
        end = offset + 2 * parameter.numel()
        header[name if name.startswith("lm_head") else f"model.{name}"] = {
            "dtype": "BF16",
            "shape": list(parameter.shape),
            "data_offsets": [offset, end],
        }
        offset = end
    encoded = json.dumps(header).encode()
    generator = np.random.default_rng(0)
    with (folder / "model.safetensors").open("wb") as file:
        file.write(len(encoded).to_bytes(8, "little") + encoded)
        while offset > 0:
            count = min(offset // 2, 4 * MIB)
            values = generator.standard_normal(count, np.float32) * 0.02
            file.write((values.view(np.uint32) >> 16).astype(np.uint16).tobytes())
            offset -= 2 * count


def convert(checkpoint: Path, output: Path, recipe: str) -> None:
    """Convert in this process and print what it took."""
    started = time.monotonic()
    from edgegen.metering import TreeMemory

    with TreeMemory() as memory:
        import edgegen
        from edgegen.convert import ExportSpec

        model = edgegen.author_model(edgegen.open_checkpoint(checkpoint))
        edgegen.convert_model(
            model, output, spec=ExportSpec((128,), 1280), recipe=recipe, force=True
        )
    largest = max(
        resource.getrusage(who).ru_maxrss
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    found = {
        "wall_s": time.monotonic() - started,
        "largest_process_peak_rss_bytes": largest * 1024,
        "tree_peak_memory_bytes": memory.peak_bytes,
        "model_file_bytes": output.stat().st_size,
    }
    print(json.dumps(found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", choices=SHAPES, action="append")
    parser.add_argument("--recipe", default="dynamic_wi8_afp32")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--kept", action="store_true", help="a graph of the shape is kept already")
    parser.add_argument("--output", type=Path, help="keep the last file, under this name")
    parser.add_argument("--child", nargs=2, metavar=("CHECKPOINT", "OUTPUT"))
    arguments = parser.parse_args()
    if arguments.child:
        convert(Path(arguments.child[0]), Path(arguments.child[1]), arguments.recipe)
        return
    print(
        f"{'shape':14} {'wall [s]':>9} {'largest process':>16} {'all processes':>14} {'file':>10}"
    )
    for name in arguments.shape or USUAL:
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            write_checkpoint(folder, SHAPES[name])
            environment = {**os.environ, "EDGEGEN_CACHE_DIR": str(folder) if arguments.kept else ""}
            for run in range(arguments.repeats + arguments.kept):
                command = [sys.executable, __file__, "--recipe", arguments.recipe]
                command += ["--child", str(folder), str(folder / "model.tflite")]
                started = time.monotonic()
                done = subprocess.run(
                    command, check=True, capture_output=True, text=True, env=environment
                )
                wall_s = time.monotonic() - started
                found = json.loads(done.stdout.splitlines()[-1])
                if arguments.kept and run == 0:
                    continue  # this one traced
                print(
                    f"{name:14} {wall_s:9.1f} "
                    f"{found['largest_process_peak_rss_bytes'] / MIB:12.0f} MiB "
                    f"{found['tree_peak_memory_bytes'] / MIB:10.0f} MiB "
                    f"{found['model_file_bytes'] / MIB:6.0f} MiB",
                    flush=True,
                )
            if arguments.output:
                shutil.copy(folder / "model.tflite", arguments.output)


if __name__ == "__main__":
    main()
