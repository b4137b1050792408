"""Peak memory of converting, against the model's parameters: flat, whatever the width.

Llama shapes of 16 layers and growing width, then Llama-3.1-8B's, int8; each conversion is a fresh
process as in `convert.py`. Prints a table and draws it.

    python benchmarks/memory.py docs/explanation/conversion-memory.svg

The largest checkpoint takes 16 GB of disk, its model 8 GB more.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from convert import MIB, SHAPES, write_checkpoint

WIDTHS = (512, 1024, 2048, 4096)


def shape_of(width: int) -> dict[str, int | bool]:
    """Return a Llama shape of 16 layers."""
    return {
        "vocab_size": 32000,
        "hidden_size": width,
        "num_hidden_layers": 16,
        "num_attention_heads": width // 64,
        "num_key_value_heads": width // 256,
        "intermediate_size": width * 7 // 2,
    }


def measure(shape: dict[str, int | bool]) -> dict[str, float]:
    """Convert random weights of a shape in a fresh process."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_checkpoint(folder, shape)
        parameters = (folder / "model.safetensors").stat().st_size // 2
        script = Path(__file__).with_name("convert.py")
        command = [sys.executable, script, "--child", folder, folder / "model.tflite"]
        done = subprocess.run(
            command,
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "EDGEGEN_CACHE_DIR": ""},
        )
    return {"parameters": parameters, **json.loads(done.stdout.splitlines()[-1])}


def draw(points: list[dict[str, float]], output: Path) -> None:
    """Plot both figures of memory, and the model's own size."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "edgegen"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4))
    x = [point["parameters"] / 1e9 for point in points]
    for key, told in (
        ("model_file_bytes", "int8 model, for comparison"),
        ("tree_peak_memory_bytes", "all processes, shared pages once"),
        ("largest_process_peak_rss_bytes", "largest process"),
    ):
        axes.plot(x, [point[key] / 1e9 for point in points], marker="o", label=told)
    axes.set(xlabel="parameters (billions)", ylabel="GB", xscale="log", yscale="log")
    axes.set_title("Peak memory of converting")
    axes.grid(visible=True, which="both", alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(output, metadata={"Date": None})
    # matplotlib ends some lines in blanks.
    lines = output.read_text().splitlines()
    output.write_text("\n".join(line.rstrip() for line in lines) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path, help="the .svg to draw")
    arguments = parser.parse_args()
    print(f"{'parameters':>12} {'wall [s]':>9} {'largest process':>16} {'all processes':>14}")
    points = []
    for shape in (*map(shape_of, WIDTHS), SHAPES["llama-3.1-8b"]):
        found = measure(shape)
        points.append(found)
        print(
            f"{found['parameters'] / 1e6:10.0f} M {found['wall_s']:9.1f} "
            f"{found['largest_process_peak_rss_bytes'] / MIB:12.0f} MiB "
            f"{found['tree_peak_memory_bytes'] / MIB:10.0f} MiB",
            flush=True,
        )
    draw(points, arguments.output)


if __name__ == "__main__":
    main()
