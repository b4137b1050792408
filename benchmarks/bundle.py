"""Writing large bundles beside `cp`: rates as ratios of one run, and peak memory.

Every way runs in a process of its own, in turn, on the same disk, and syncs what it wrote. The
model is a file of random bytes that says it is TFLite; formats and ways do not look further.

    python benchmarks/bundle.py                 # 6 GB, three times each
    python benchmarks/bundle.py --gigabytes 1 --repeats 1
"""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MIB = 1 << 20
# name -> suffix of the output, and whether the model may become the bundle
WAYS: dict[str, tuple[str, bool]] = {
    "cp": ("", False),
    ".task": (".task", False),
    ".litertlm": (".litertlm", False),
    ".task, model consumed": (".task", True),
    ".litertlm, model consumed": (".litertlm", True),
}


def make_model(path: Path, nbytes: int) -> None:
    """Write a file that begins like TFLite."""
    chunk = os.urandom(MIB)
    with path.open("wb") as file:
        file.write(b"\x1c\0\0\0TFL3" + chunk[8:])
        for _ in range(nbytes // MIB - 1):
            file.write(chunk)
        os.fsync(file.fileno())


def run_once(way: str, model: Path, output: Path) -> None:
    """Do it in this process and print what it took."""
    suffix, consume = WAYS[way]
    started = time.monotonic()
    if suffix:
        from edgegen.bundle import GenerationParameters, SentencePieceTokenizer, write_bundle

        tokenizer = SentencePieceTokenizer(Path("tokenizer.model"), _tokenizer())
        parameters = GenerationParameters("<s>", ("</s>",))
        started = time.monotonic()
        write_bundle(model, tokenizer, parameters, output, consume=consume)
    else:
        subprocess.run(["cp", model, output], check=True)
        handle = os.open(output, os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)
    print(
        json.dumps(
            {
                "wall_s": time.monotonic() - started,
                "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            }
        )
    )


def _tokenizer() -> bytes:
    import sentencepiece

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["to be or not to be that is the question"] * 9),
        model_writer=model,
        model_type="bpe",
        vocab_size=300,
        byte_fallback=True,
        minloglevel=2,
    )
    return model.getvalue()


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--gigabytes", type=float, default=6)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="on the disk to be measured")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        way, model, output = arguments.child
        run_once(way, Path(model), Path(output))
        return
    found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        model = folder / "model.tflite"
        make_model(model, int(arguments.gigabytes * 1e9))
        for _ in range(arguments.repeats):
            for way, (suffix, consume) in WAYS.items():
                source = model
                if consume:
                    source = folder / "consumed.tflite"
                    shutil.copyfile(model, source)
                    os.sync()
                output = folder / f"out{suffix}"
                command = [sys.executable, __file__, "--child", way, str(source), str(output)]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                found[way].append(json.loads(done.stdout))
                output.unlink()
    usual = statistics.median(run["wall_s"] for run in found["cp"])
    print(f"{arguments.gigabytes:g} GB, median of {arguments.repeats}")
    print(f"{'':28}{'wall s':>8}{'MB/s':>8}{'cp = 1':>8}{'peak MiB':>10}")
    for way, runs in found.items():
        wall_s = statistics.median(run["wall_s"] for run in runs)
        rate = arguments.gigabytes * 1000 / wall_s
        peak = max(run["peak_rss_bytes"] for run in runs) / MIB
        print(f"{way:28}{wall_s:8.1f}{rate:8.0f}{usual / wall_s:8.2f}{peak:10.0f}")


if __name__ == "__main__":
    main()
