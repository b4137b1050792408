"""`edgegen plan`: what a build would give and cost."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path

from edgegen.cli.arguments import add_kv_cache_dtype, lengths
from edgegen.report.tables import PLAIN_WIDTH, Part, mib, table, to_text

EXAMPLES = """examples:
  edgegen plan SmolLM2-135M-Instruct/
  edgegen plan my-model/ --recipe dynamic_wi8_afp32,dynamic_wi4b32_afp32 --kv-cache-len 1280,4096
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    parser.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="a checkpoint folder")
    parser.add_argument(
        "--recipe", metavar="R,R,...", help="see `edgegen list recipes` (all but static ones)"
    )
    parser.add_argument(
        "--prefill", type=lengths, metavar="T,T,...", help="prefill lengths (16,128,512)"
    )
    parser.add_argument(
        "--kv-cache-len",
        type=lengths,
        default=(),
        metavar="S,S,...",
        help="room for prompt and answer, and other lengths to compare its memory with (1280)",
    )
    add_kv_cache_dtype(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the plan."""
    from edgegen.convert.recipes import RECIPES
    from edgegen.planning import plan

    streamed = [name for name, recipe in RECIPES.items() if recipe.activation_bits is None]
    found = plan(
        arguments.checkpoint,
        recipes=arguments.recipe.split(",") if arguments.recipe else streamed,
        prefill_lens=arguments.prefill,
        kv_cache_lens=arguments.kv_cache_len,
        kv_cache_dtype=arguments.kv_cache_dtype,
    )
    if arguments.json:
        print(json.dumps(found.as_dict(), indent=2))
        return 0
    terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if terminal else PLAIN_WIDTH
    rows = [
        [
            one.recipe,
            mib(one.tflite_bytes),
            "-" if one.bundle_bytes is None else mib(one.bundle_bytes),
            mib(one.device_bytes),
        ]
        for one in found.recipes
    ]
    caches = ", ".join(f"{mib(n)} for {length}" for length, n in found.kv_cache_bytes.items())
    parts: list[Part] = [
        f"{found.checkpoint}, {found.parameter_count:,} parameters",
        table(["recipe", ">.tflite", ">.task", ">device memory"], rows, terminal=terminal),
        f"KV cache: {caches} tokens",
        f"conversion on this machine: about {found.host_s:.0f} s and {mib(found.host_bytes)}",
    ]
    print(to_text(parts, terminal=terminal, width=width), end="")
    return 0
