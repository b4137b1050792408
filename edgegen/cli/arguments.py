"""What several verbs share: argument types, and text for a terminal."""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path

from edgegen.bundle.engine_types import MAX_SEED
from edgegen.contract import COMPOSITES, KV_CACHE_DTYPES
from edgegen.errors import EdgegenError


def add_export_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what shapes the exported model, whatever it is then packed into."""
    parser.add_argument(
        "--prefill", type=lengths, metavar="T,T,...", help="prefill lengths (16,128,512)"
    )
    parser.add_argument("--kv-cache-len", type=int, help="room for prompt and answer (1280)")
    parser.add_argument(
        "--calibration",
        type=Path,
        metavar="FILE",
        help="a text like what the model will read, for static recipes",
    )
    parser.add_argument(
        "--target",
        choices=("cpu", "gpu", "both"),
        help="refuse recipes and composites that do not run right on these delegates",
    )
    parser.add_argument(
        "--composites",
        type=_names,
        default=(),
        metavar="NAME,NAME,...",
        help="draw these named boundaries around layers, for runtimes with kernels of their own: "
        f"{', '.join(COMPOSITES)} (none)",
    )
    add_kv_cache_dtype(parser)
    parser.add_argument(
        "--mask-input",
        action="store_true",
        help="let the runtime say what each token sees (the graph computes it from the positions)",
    )
    parser.add_argument(
        "--lora", type=Path, metavar="ADAPTER", help="folder of a PEFT LoRA adapter to merge"
    )
    parser.add_argument(
        "--lora-scale", type=float, metavar="X", help="times the adapter's own scaling (1.0)"
    )


def add_kv_cache_dtype(parser: argparse.ArgumentParser) -> None:
    """Declare the type of the caches."""
    parser.add_argument(
        "--kv-cache-dtype",
        choices=KV_CACHE_DTYPES,
        default="float32",
        help="what the KV cache holds; float16 takes half the memory (%(default)s)",
    )


def positive_int(text: str) -> int:
    """Parse a whole number of at least 1."""
    return _whole(text, 1, None)


def seed(text: str) -> int:
    """Parse a seed."""
    return _whole(text, 0, MAX_SEED)


def non_negative_float(text: str) -> float:
    """Parse a number of at least 0."""
    value = _number(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is negative, expected 0 or more")
    return value


def positive_float(text: str) -> float:
    """Parse a number above 0."""
    value = _number(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def probability(text: str) -> float:
    """Parse a number from 0 to 1."""
    value = _number(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value


def read_text(path: Path) -> str:
    """Read a user's text.

    Raises:
        EdgegenError: it is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise EdgegenError(
            f"{path} is not UTF-8 text: byte {error.start} cannot be read",
            "save it as UTF-8 first, for example with iconv",
        ) from error


def safe_for_terminal(text: str) -> str:
    """Return generated text; on a terminal without the characters that could take it over."""
    if not sys.stdout.isatty():
        return text
    # Here, since it brings tables along, which a pipe does without.
    from edgegen.report.tables import printable

    return printable(text)


def _whole(text: str, minimum: int, maximum: int | None) -> int:
    try:
        value = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
    if value < minimum or (maximum is not None and value > maximum):
        upper = "or more" if maximum is None else f"to {maximum}"
        raise argparse.ArgumentTypeError(f"{text} is out of range, expected {minimum} {upper}")
    return value


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text} is not a finite number")
    return value


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(","))


def lengths(text: str) -> tuple[int, ...]:
    """Parse whole numbers with commas between them."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected numbers like 16,128,512, got {text!r}"
        ) from None
