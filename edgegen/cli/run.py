"""`edgegen run`: generate text from a bundle on this machine."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from edgegen.bundle import GenerateRequest, generate
from edgegen.bundle.engine_types import DELEGATES, MAX_SEED
from edgegen.cli.arguments import (
    non_negative_float,
    positive_float,
    positive_int,
    probability,
    safe_for_terminal,
    seed,
)
from edgegen.errors import EdgegenError

EXAMPLES = """examples:
  edgegen run model.task "Once upon a time"
  edgegen run model.task "Once upon a time" --temperature 0.8 --top-k 40 --seed 7
  cat prompt.txt | edgegen run model.task - --raw --max-tokens 64
  edgegen run model.task "Once upon a time" --delegate gpu
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="a .task file")
    parser.add_argument("prompt", metavar="PROMPT", help="the prompt, or - to read it from stdin")
    add = parser.add_argument
    add("--max-tokens", type=positive_int, default=256, metavar="N", help="at most N tokens (256)")
    add(
        "--temperature",
        type=non_negative_float,
        default=0.0,
        metavar="T",
        help="randomness; 0 always takes the likeliest token (0)",
    )
    add("--top-k", type=positive_int, default=40, metavar="K", help="sample among K tokens (40)")
    add(
        "--top-p",
        type=probability,
        default=0.95,
        metavar="P",
        help="sample among the likeliest tokens with total probability P (0.95)",
    )
    add("--seed", type=seed, default=0, metavar="S", help=f"0 to {MAX_SEED}; same seed, same text")
    add("--delegate", choices=DELEGATES, default="cpu", help="who computes (cpu)")
    add("--raw", action="store_true", help="leave out the bundle's prompt template")
    add("--threads", type=positive_int, metavar="N", help="CPU threads (the engine's choice)")
    add("--timeout", type=positive_float, metavar="SECONDS", help="give up after that long")


def run(arguments: argparse.Namespace) -> int:
    """Stream the text to stdout; with --json print the result at the end instead."""
    request = GenerateRequest(
        prompt=_stdin_text() if arguments.prompt == "-" else arguments.prompt,
        max_output_tokens=arguments.max_tokens,
        temperature=arguments.temperature,
        top_k=arguments.top_k,
        top_p=arguments.top_p,
        seed=arguments.seed,
        delegate=arguments.delegate,
        apply_prompt_template=not arguments.raw,
        threads=arguments.threads,
        timeout_s=arguments.timeout,
    )
    with generate(arguments.bundle, request) as generation:
        for piece in generation:
            if not arguments.json:
                print(safe_for_terminal(piece), end="", flush=True)
        result = generation.result()
    print(json.dumps(asdict(result), indent=2) if arguments.json else "")
    return 0


def _stdin_text() -> str:
    try:
        return sys.stdin.buffer.read().decode("utf-8")
    except UnicodeDecodeError as error:
        raise EdgegenError(
            f"the prompt on stdin is not UTF-8 text: byte {error.start} cannot be read",
            "save it as UTF-8 first, for example with iconv",
        ) from error
