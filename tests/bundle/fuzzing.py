"""Spoiled bundles through `inspect` and `check`, in processes that may die of it.

    python -m tests.bundle.fuzzing good.task good.litertlm --count 6000

Prints how many were opened and how many refused, and by what; ends with 1 if any did something
else: an unexpected exception, a native crash, more than 10 s, more memory than it may have, or a
file opened for writing.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import select
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgegen.bundle import open_bundle
from edgegen.metering import peak_rss_bytes
from tests.bundle.mutations import Base, mutate

ROOT = Path(__file__).parents[2]
MODULE = "tests.bundle.fuzzing"
HANG_S = 10.0
# What importing takes, and then some; the bundles have 100 kB.
MEMORY_BYTES = 2 * 1024**3
_START_S = 60.0
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGING = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "os.link", "os.chmod")


@dataclass
class Tally:
    """What became of the bundles.

    Attributes:
        opened: Mutation -> how many `inspect` opened all the same.
        refused: Error -> how many were refused so.
        verdicts: Verdict -> how many `check` gave.
        troubles: What must not be, a few lines each.
        slowest_s: The longest that one took.
        largest_bytes: The most memory that a process had.
    """

    opened: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    verdicts: Counter[str] = field(default_factory=Counter)
    troubles: list[str] = field(default_factory=list)
    slowest_s: float = 0.0
    largest_bytes: int = 0

    @property
    def count(self) -> int:
        return self.opened.total() + self.refused.total() + len(self.troubles)

    def __str__(self) -> str:
        lines = [
            f"{self.count} spoiled bundles: inspect opened {self.opened.total()}, refused "
            f"{self.refused.total()} ({_told(self.refused)})",
            f"check: {_told(self.verdicts)}",
            f"opened by mutation: {_told(self.opened)}",
            f"slowest {self.slowest_s:.1f} s, largest process {self.largest_bytes / 2**20:.0f} MiB",
            f"troubles: {len(self.troubles)}",
            *self.troubles[:20],
        ]
        return "\n".join(lines)


def fuzz(bases: Sequence[Path], seeds: Iterable[int]) -> Tally:
    """Put spoiled bundles through `inspect` and `check`: one of `bases` in turn for each seed."""
    tally, left = Tally(), list(seeds)
    while left:
        with tempfile.TemporaryDirectory(prefix="edgegen-fuzz-") as folder:
            left = _batch(bases, left, Path(folder), tally)
    return tally


def _batch(bases: Sequence[Path], seeds: list[int], folder: Path, tally: Tally) -> list[int]:
    """Run one process until it is done or dead; return the seeds that are left."""
    request = {"bases": [str(path.resolve()) for path in bases], "seeds": seeds}
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen(
            [sys.executable, "-m", MODULE, "--serve"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            bufsize=0,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(request).encode())
        process.stdin.close()
        # The first answer comes after the imports.
        wait_s = _START_S
        while seeds:
            answer = _line(process.stdout, wait_s)
            if not answer and wait_s == _START_S:
                raise RuntimeError("the good bundles cannot be examined")
            wait_s = HANG_S + 1
            if answer is None:
                process.kill()
                tally.troubles.append(f"seed {seeds[0]}: more than {HANG_S} s")
                break
            if not answer:
                status = process.wait()
                log.seek(0)
                end = log.read()[-500:].decode("utf-8", "replace")
                tally.troubles.append(f"seed {seeds[0]}: the process died ({status}): {end}")
                break
            if "ready" in answer:
                continue
            _count(answer, tally)
            seeds = seeds[1:]
            continue
        else:
            return []
    return seeds[1:]


def _line(pipe: Any, wait_s: float) -> dict[str, Any] | None:
    """Return the next answer, {} at the end, `None` if none came in time."""
    if not select.select([pipe], [], [], wait_s)[0]:
        return None
    line = pipe.readline()  # unbuffered, or `select` would not know
    return dict(json.loads(line)) if line.endswith(b"\n") else {}


def _count(answer: dict[str, Any], tally: Tally) -> None:
    tally.slowest_s = max(tally.slowest_s, answer["seconds"])
    tally.largest_bytes = max(tally.largest_bytes, answer["peak_bytes"])
    if answer["trouble"] or answer["seconds"] > HANG_S:
        tally.troubles.append(f"seed {answer['seed']} ({answer['name']}): {answer['trouble']}")
        return
    if answer["refused"]:
        tally.refused[answer["refused"]] += 1
    else:
        tally.opened[answer["name"]] += 1
    tally.verdicts[answer["verdict"]] += 1


def _told(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.most_common()) or "none"


def _serve() -> None:
    """Examine the bundles of a request, an answer for each."""
    request = json.load(sys.stdin)
    from edgegen.bundle import inspect_bundle
    from edgegen.bundle.doctor import check_bundle
    from edgegen.errors import EdgegenError

    bases = []
    for name in request["bases"]:
        check_bundle(name, engines=False)  # imports all that is imported late
        inspect_bundle(name)
        spans = {m.name: (m.offset, m.size) for m in open_bundle(name).members}
        bases.append(Base(Path(name).read_bytes(), spans))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    written: list[str] = []
    _watch(written)
    print(json.dumps({"ready": True}), flush=True)
    for seed in request["seeds"]:
        base = bases[seed % len(bases)]
        name, content = mutate(base, seed // len(bases))
        path = Path("spoiled.task" if base.is_task else "spoiled.litertlm")
        path.write_bytes(content)
        written.clear()
        before = sorted(Path.cwd().rglob("*"))
        refused = verdict = trouble = ""
        started = time.monotonic()
        try:
            try:
                inspect_bundle(path)
            except EdgegenError as error:
                refused = type(error).__name__
            verdict = check_bundle(path, engines=False).verdict
        except BaseException:
            trouble = traceback.format_exc()[-1500:]
        seconds = time.monotonic() - started
        if written or sorted(Path.cwd().rglob("*")) != before:
            trouble += f" wrote {written}"
        answer = {
            "seed": seed,
            "name": name,
            "refused": refused,
            "verdict": verdict,
            "trouble": trouble,
            "seconds": seconds,
            "peak_bytes": peak_rss_bytes() or 0,
        }
        print(json.dumps(answer), flush=True)


def _watch(written: list[str]) -> None:
    """Note what is opened for writing, or changed in a folder."""

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if isinstance(path, str | bytes) and isinstance(flags, int) and flags & _WRITING:
                written.append(f"open {path!r}")
        elif event in _CHANGING:
            written.append(f"{event} {arguments!r:.200}")

    sys.addaudithook(hook)


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="Put spoiled bundles through inspect and check.")
    parser.add_argument("bases", nargs="*", type=Path, help="good bundles, small ones")
    parser.add_argument("--count", type=int, default=6000)
    parser.add_argument("--first", type=int, default=0, help="number of the first")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        _serve()
        return 0
    tally = fuzz(arguments.bases, range(arguments.first, arguments.first + arguments.count))
    print(tally)
    return 1 if tally.troubles else 0


if __name__ == "__main__":
    raise SystemExit(main())
