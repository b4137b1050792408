"""`edgegen build`: from a checkpoint folder to a bundle."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from edgegen.bundle.tokenizers.convert import ENGINES, LITERT_LM
from edgegen.cli.arguments import add_export_arguments, probability, read_text, safe_for_terminal
from edgegen.cli.parameter_arguments import add_parameter_arguments, given_parameters

EXAMPLES = """\
example:
  edgegen build TinyLlama-1.1B/ -o tinyllama.task --recipe dynamic_wi8_afp32 \\
      --prefill 16,128,512 --kv-cache-len 1280
--prompt-{prefix,suffix}-{user,model,system} TEXT set the texts around each role.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("checkpoint", type=Path, help="folder with config.json and safetensors")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, help="the .task or .litertlm to write"
    )
    parser.add_argument(
        "--recipe",
        default="dynamic_wi8_afp32",
        help="see `edgegen list recipes`, or a .json file of your own (%(default)s)",
    )
    add_export_arguments(parser)
    add_parameter_arguments(parser)
    parser.add_argument(
        "--max-mismatch-rate",
        type=probability,
        metavar="R",
        help="share of comparisons in which the bundle's tokenizer may differ from tokenizer.json, "
        "where that is converted (0) or beside a SentencePiece model (0.01)",
    )
    parser.add_argument(
        "--engine",
        choices=ENGINES,
        default=LITERT_LM,
        help="who is to read a .task's converted tokenizer.json (%(default)s)",
    )
    parser.add_argument("--no-check", action="store_true", help="skip the self-check")
    parser.add_argument("--force", action="store_true", help="replace an existing output")


def run(arguments: argparse.Namespace) -> int:
    """Build, and print what came out."""
    from edgegen.cli.build_summary import summary
    from edgegen.pipeline import build

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
        parameters_file=arguments.parameters,
        parameters=given_parameters(arguments),
        engine=arguments.engine,
        max_mismatch_rate=arguments.max_mismatch_rate,
        check=not arguments.no_check,
        force=arguments.force,
    )
    if arguments.json:
        print(json.dumps(made.as_dict(), indent=2))
    else:
        summary(made, sys.stdout)
    for note in made.notes:
        print(safe_for_terminal(f"note: {note}"), file=sys.stderr)
    return 0
