"""Whether `edgegen bench` says what LiteRT-LM's own `litert-lm benchmark` measures.

    python benchmarks/bench_agreement.py model.task                    # 10 rounds, pp128+tg128
    python benchmarks/bench_agreement.py model.task --rounds 20 -p 64 -n 64

Both take turns, each in a fresh process with the weights that its first run prepared. Theirs is
`litert_lm.Benchmark`, called as the program `litert-lm benchmark` calls it (the program comes
with the package `litert-lm`; what measures comes with `litert-lm-api`, and is called here alone,
without any code of edgegen's). Prints every median, its spread, and the ratio of the two by rounds
with its interval; exits with 1 if a ratio lies outside 0.9 to 1.1.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from edgegen.bundle.formats import open_bundle
from edgegen.device.bench.workload import Workload
from edgegen.device.runners.host import HostRunner
from edgegen.device.runners.interface import RunRequest
from edgegen.report.statistics import compare, summarize

THEIRS = """
import json, sys
import litert_lm
bundle, prefill, decode, cache = sys.argv[1:]
info = litert_lm.Benchmark(
    model_path=bundle,
    backend=litert_lm.Backend.CPU(),
    prefill_tokens=int(prefill),
    decode_tokens=int(decode),
    cache_dir=cache,
).run()
assert info.last_prefill_token_count == int(prefill)
assert info.last_decode_token_count == int(decode)
rates = info.last_prefill_tokens_per_second, info.last_decode_tokens_per_second
print("RESULT", json.dumps(rates))
"""
RATES = ("prefill", "decode")
LOW, HIGH = 0.9, 1.1
TIMEOUT_S = 600.0


def theirs(bundle: Path, asked: Workload, cache: Path) -> list[float]:
    """Run their benchmark once."""
    words = [
        str(bundle.absolute()),
        str(asked.prefill_tokens),
        str(asked.decode_tokens),
        str(cache),
    ]
    said = subprocess.run(
        [sys.executable, "-c", THEIRS, *words],
        check=True,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    line = next(line for line in said.stdout.splitlines() if line.startswith("RESULT "))
    rates: list[float] = json.loads(line.removeprefix("RESULT "))
    return rates


def ours(runner: HostRunner, request: RunRequest) -> list[float]:
    """Run edgegen's once."""
    outcome = runner.run(request)
    assert outcome.metrics is not None, outcome.failure
    rates = [outcome.metrics.prefill_tokens_per_s, outcome.metrics.decode_tokens_per_s]
    told = [rate for rate in rates if rate is not None]
    assert len(told) == len(RATES), outcome.metrics
    return told


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("-p", type=int, default=128)
    parser.add_argument("-n", type=int, default=128)
    arguments = parser.parse_args()
    asked = Workload(arguments.p, arguments.n)
    request = RunRequest(open_bundle(arguments.bundle), asked)
    samples: dict[str, list[list[float]]] = {"litert-lm": [], "edgegen": []}
    with tempfile.TemporaryDirectory() as cache, HostRunner() as runner:
        runner.prepare(request.bundle)
        for number in range(arguments.rounds + 1):
            one = {
                "litert-lm": lambda: theirs(arguments.bundle, asked, Path(cache)),
                "edgegen": lambda: ours(runner, request),
            }
            # The first of a round changes: neither has the machine fresh each time.
            for name in sorted(one, reverse=bool(number % 2)):
                rates = one[name]()
                if number:  # the first round prepares the weights
                    samples[name].append(rates)
    good = True
    for index, rate in enumerate(RATES):
        told = {name: [run[index] for run in runs] for name, runs in samples.items()}
        for name, values in told.items():
            found = summarize(values)
            print(
                f"{asked.name} {rate:8}{name:10} median {found.median:9.1f} tokens/s, "
                f"{found.minimum:.1f} to {found.maximum:.1f}, n {found.n}"
            )
        # The two runs of a round stand side by side in time.
        rounds = [(number, number) for number in range(arguments.rounds)]
        against = compare(
            told["litert-lm"], told["edgegen"], higher_is_better=True, pairs=rounds, advise=False
        )
        low, high = against.ratio_low, against.ratio_high
        interval = "no interval" if low is None or high is None else f"{low:.3f} to {high:.3f}"
        print(
            f"{asked.name} {rate:8}ratio {against.ratio:.3f} ({interval}, {against.test}); "
            f"edgegen's {against.verdict}"
        )
        good &= LOW <= against.ratio <= HIGH
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
