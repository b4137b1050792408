"""Converting the same checkpoints with edgegen and with litert-torch's own `export_hf`, in one run.

    python benchmarks/peer.py                          # both shapes
    python benchmarks/peer.py --shape smollm-135m

Each is a fresh process under `/usr/bin/time -v`, whose wall time and peak memory (of the largest
process) are printed, with the peer's share of edgegen's. The peer needs TensorFlow, so it has a
virtual environment of its own, which is made in `build/peer` at the first run.

The largest shape takes the peer 17 GB of memory.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from convert import SHAPES, write_checkpoint

from edgegen import demo

ROOT = Path(__file__).resolve().parents[1]
PEER = ROOT / "build" / "peer"
# torchvision is left out: it is optional, and must be of torch's own build where it is there.
PACKAGES = ("litert-torch==0.10.*", "tensorflow", "torch==2.13.*", "transformers>=5.20,<6")
MIB = 1 << 20


@dataclass(frozen=True)
class Cost:
    """What a process took."""

    wall_s: float
    peak_rss_bytes: int


def peer_python() -> Path:
    """Return the Python of the peer's environment, which is made where it is not there."""
    python = PEER / "bin" / "python"
    if not (PEER / "done").exists():
        print(f"installing {', '.join(PACKAGES)} into {PEER}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", PEER], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
        (PEER / "done").touch()
    return python


def measure(command: list[object], **environment: str) -> Cost:
    """Run a command under `time -v`."""
    done = subprocess.run(
        ["/usr/bin/time", "-v", *map(str, command)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{done.stderr[-3000:]}")
    elapsed = re.search(r"Elapsed.*: (?:(\d+):)?(\d+):([\d.]+)$", done.stderr, re.MULTILINE)
    peak = re.search(r"Maximum resident set size \(kbytes\): (\d+)", done.stderr)
    assert elapsed is not None
    assert peak is not None
    hours, minutes, seconds = elapsed.groups()
    wall_s = 3600 * int(hours or 0) + 60 * int(minutes) + float(seconds)
    return Cost(wall_s, int(peak[1]) * 1024)


def make_complete(folder: Path) -> None:
    """Add what the peer reads besides: the class's name, and any tokenizer."""
    path = folder / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "architectures": ["LlamaForCausalLM"]}))
    for name in ("tokenizer.model", "tokenizer_config.json"):
        shutil.copy(demo.CHECKPOINT / name, folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", choices=("smollm-135m", "llama-3.2-1b"), action="append")
    arguments = parser.parse_args()
    python, here = peer_python(), Path(__file__).parent
    print(
        f"{'shape':14} {'converter':24} {'wall [s]':>9} {'peak RSS':>10} {'times':>6} {'times':>6}"
    )
    for name in arguments.shape or ("smollm-135m", "llama-3.2-1b"):
        with tempfile.TemporaryDirectory() as scratch:
            folder, output = Path(scratch, "checkpoint"), Path(scratch, "out")
            folder.mkdir()
            output.mkdir()
            write_checkpoint(folder, SHAPES[name])
            make_complete(folder)
            ours = [sys.executable, here / "convert.py", "--child", folder, output / "model.tflite"]
            theirs = [python, here / "export_hf.py", folder, output / "peer"]
            first: Cost | None = None
            for title, command in (
                ("edgegen", ours),
                ("export_hf", theirs),
            ):
                cost = measure(command, EDGEGEN_CACHE_DIR="")
                first = first or cost
                print(
                    f"{name:14} {title:24} {cost.wall_s:9.1f} {cost.peak_rss_bytes / MIB:6.0f} MiB "
                    f"{cost.wall_s / first.wall_s:6.1f} "
                    f"{cost.peak_rss_bytes / first.peak_rss_bytes:6.1f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
