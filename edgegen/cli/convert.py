"""`edgegen convert`: from a checkpoint folder to a `.tflite`, for one recipe or several."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from edgegen.cli.arguments import add_export_arguments, read_text

EXAMPLES = """\
examples:
  edgegen convert TinyLlama-1.1B/ -o tinyllama.tflite
  edgegen convert TinyLlama-1.1B/ -o 'tinyllama-{recipe}.tflite' \\
      --recipe dynamic_wi8_afp32,dynamic_wi4b32_afp32
  edgegen convert embeddinggemma-300m/ -o embedder.tflite --prefill 256
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("checkpoint", type=Path, help="folder with config.json and safetensors")
    parser.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="FILE",
        help="the .tflite to write; {recipe} in it stands for the recipe's name",
    )
    parser.add_argument(
        "--recipe",
        default="dynamic_wi8_afp32",
        metavar="R,R,...",
        help="see `edgegen list recipes`, or .json files of your own; the model is traced once "
        "for all (%(default)s)",
    )
    add_export_arguments(parser)
    parser.add_argument("--force", action="store_true", help="replace an existing output")


def run(arguments: argparse.Namespace) -> int:
    """Convert, and print what was written."""
    from edgegen.conversion import convert_checkpoint

    made = convert_checkpoint(
        arguments.checkpoint,
        arguments.output,
        recipes=arguments.recipe.split(","),
        target=arguments.target,
        calibration=arguments.calibration and read_text(arguments.calibration),
        prefill_lens=arguments.prefill,
        kv_cache_len=arguments.kv_cache_len,
        composites=arguments.composites,
        mask_input=arguments.mask_input,
        kv_cache_dtype=arguments.kv_cache_dtype,
        lora=arguments.lora,
        lora_scale=arguments.lora_scale,
        force=arguments.force,
    )
    rows: list[dict[str, object]] = [
        {"recipe": recipe, "path": str(model.path), "nbytes": model.path.stat().st_size}
        for recipe, model in made.items()
    ]
    if arguments.json:
        for row, model in zip(rows, made.values(), strict=True):
            row["quantization_errors"] = [asdict(error) for error in model.quantization_errors]
        print(json.dumps(rows, indent=2))
    else:
        for row in rows:
            print(f"{row['path']}  {row['nbytes']:,} bytes  {row['recipe']}")
    return 0
