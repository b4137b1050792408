"""`edgegen tokenizer`: convert a tokenizer.json and say what the conversion changes."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from edgegen.bundle.tokenizers.convert import ENGINES, LITERT_LM, Conversion, try_convert
from edgegen.bundle.tokenizers.gate import require
from edgegen.bundle.tokenizers.tokenizer_json import FILE_NAME
from edgegen.files import atomic_output, refuse_overwrite

EXAMPLES = """examples:
  edgegen tokenizer checkpoint/
  edgegen tokenizer checkpoint/tokenizer.json -o tokenizer.model
  edgegen tokenizer checkpoint/ --engine mediapipe --json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    parser.add_argument(
        "source", type=Path, metavar="CHECKPOINT", help=f"a folder with {FILE_NAME}, or the file"
    )
    parser.add_argument("-o", "--output", type=Path, help="the SentencePiece model to write")
    parser.add_argument(
        "--engine", choices=ENGINES, default=LITERT_LM, help="who is to read it (%(default)s)"
    )
    parser.add_argument(
        "--max-mismatch-rate",
        type=_rate,
        default=0.0,
        metavar="R",
        help="share of the comparisons that may differ (%(default)s)",
    )
    parser.add_argument("--force", action="store_true", help="replace the output if it exists")


def run(arguments: argparse.Namespace) -> int:
    """Print the gate's table or, with --json, everything; exit with 1 if it did not pass."""
    source = arguments.source
    path = source / FILE_NAME if source.is_dir() else source
    if arguments.output is not None:
        refuse_overwrite(arguments.output, force=arguments.force)
    conversion = try_convert(
        path, engine=arguments.engine, max_mismatch_rate=arguments.max_mismatch_rate
    )
    print(json.dumps(conversion.to_json(), indent=2) if arguments.json else _table(conversion))
    require(conversion.report, path)
    if arguments.output is not None:
        with atomic_output(arguments.output, force=arguments.force) as temporary:
            temporary.write_bytes(conversion.tokenizer.proto)
    return 0


def _rate(text: str) -> float:
    try:
        value = float(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text} is no number") from error
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value


def _table(conversion: Conversion) -> str:
    rows = [("texts", "compared", "other ids", "other text")]
    rows += [
        (r.name, f"{r.texts:,}", f"{r.encode_mismatches:,}", f"{r.decode_mismatches:,}")
        for r in conversion.report.classes
    ]
    lines = [f"{a:<14}{b:>10}{c:>12}{d:>12}" for a, b, c, d in rows]
    report = conversion.report
    lines.append(
        f"{report.mismatches:,} mismatches in {report.texts:,} texts, rate "
        f"{report.mismatch_rate:.2g}"
    )
    if report.not_compared:
        lines.append(
            f"{report.not_compared:,} ids not compared: they are no text, and their bytes are "
            "not known"
        )
    lines.append(
        f"{conversion.size:,} ids, {len(conversion.tokenizer.proto):,} bytes as a SentencePiece "
        "model"
    )
    return "\n".join(lines)
