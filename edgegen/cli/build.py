"""`edgegen build`: from a checkpoint folder to a bundle."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from edgegen.cli.arguments import add_export_arguments, read_text

EXAMPLES = """\
example:
  edgegen build TinyLlama-1.1B/ -o tinyllama.task --recipe dynamic_wi8_afp32 \\
      --prefill 16,128,512 --kv-cache-len 1280
--prompt-{prefix,suffix}-{user,model,system} TEXT set the texts around each role.
"""

# Prompt texts around each role, and the field of GenerationParameters that they set.
_AFFIXES = [
    f"prompt_{place}_{role}"
    for role in ("user", "model", "system")
    for place in ("prefix", "suffix")
]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("checkpoint", type=Path, help="folder with config.json and safetensors")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the .task to write")
    parser.add_argument(
        "--recipe",
        default="dynamic_wi8_afp32",
        help="see `edgegen list recipes`, or a .json file of your own (%(default)s)",
    )
    add_export_arguments(parser)
    parser.add_argument("--start-token", help="instead of the checkpoint's")
    parser.add_argument("--stop-token", action="append", help="instead of the checkpoint's; repeat")
    for name in _AFFIXES:
        parser.add_argument(f"--{name.replace('_', '-')}", metavar="TEXT", help=argparse.SUPPRESS)
    parser.add_argument("--no-check", action="store_true", help="skip the self-check")
    parser.add_argument("--force", action="store_true", help="replace an existing output")


def run(arguments: argparse.Namespace) -> int:
    """Build, and print what came out."""
    from edgegen.cli.build_summary import summary
    from edgegen.pipeline import build

    overrides = {name: getattr(arguments, name) for name in ("start_token", *_AFFIXES)}
    overrides["stop_tokens"] = arguments.stop_token
    made = build(
        arguments.checkpoint,
        arguments.output,
        prefill_lens=arguments.prefill,
        kv_cache_len=arguments.kv_cache_len,
        composites=arguments.composites,
        mask_input=arguments.mask_input,
        kv_cache_dtype=arguments.kv_cache_dtype,
        recipe=arguments.recipe,
        target=arguments.target,
        calibration=arguments.calibration and read_text(arguments.calibration),
        lora=arguments.lora,
        lora_scale=arguments.lora_scale,
        parameters={name: value for name, value in overrides.items() if value is not None},
        check=not arguments.no_check,
        force=arguments.force,
    )
    if arguments.json:
        print(json.dumps(made.as_dict(), indent=2))
    else:
        summary(made, sys.stdout)
    return 0
