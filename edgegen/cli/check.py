"""`edgegen check`: tell whether a checkpoint can be built, or whether a bundle will run."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from pathlib import Path

from edgegen.cli.arguments import positive_float

EXAMPLES = """examples:
  edgegen check SmolLM2-135M-Instruct/
  edgegen check my-model/ --json
  edgegen check model.task
  edgegen check model.litertlm --no-engines
  edgegen check model.task --only gpu,gpu-operators
"""
_BUNDLE_SUFFIXES = (".task", ".litertlm")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    parser.add_argument(
        "path",
        type=Path,
        metavar="CHECKPOINT|BUNDLE",
        help="a checkpoint folder, or a .task or .litertlm file",
    )
    bundle = parser.add_argument_group("of a bundle")
    add = bundle.add_argument
    add("--only", type=_names, default=(), metavar="CHECK,...", help="make these checks alone")
    add("--skip", type=_names, default=(), metavar="CHECK,...", help="leave these checks out")
    add("--no-engines", action="store_true", help="look at the file alone, which takes no time")
    add("--deep", action="store_true", help="read all of the file: checksums of every member")
    add(
        "--timeout",
        type=positive_float,
        metavar="SECONDS",
        help="end an engine after that long (300)",
    )
    add(
        "--memory",
        type=positive_float,
        metavar="GIB",
        help="memory that an engine may take, without mapped files (16)",
    )
    add(
        "--engine-dir",
        type=Path,
        metavar="DIR",
        help="MediaPipe's web engine, an unpacked npm package (what `edgegen preview --fetch` "
        "has fetched)",
    )
    parser.set_defaults(usage_error=parser.error)


def run(arguments: argparse.Namespace) -> int:
    """Print the verdict and its reasons; 0 when the checkpoint is supported, or nothing fails."""
    path: Path = arguments.path
    if path.is_file() or (path.suffix in _BUNDLE_SUFFIXES and not path.is_dir()):
        return _check_bundle(arguments)
    asked = ("only", "skip", "no_engines", "deep", "timeout", "memory", "engine_dir")
    for name in asked:
        if getattr(arguments, name):
            arguments.usage_error(f"--{name.replace('_', '-')} is for bundles, {path} is none")
    return _check_checkpoint(path, as_json=arguments.json)


def _check_checkpoint(path: Path, *, as_json: bool) -> int:
    from edgegen.author.suitability import check_checkpoint

    found = check_checkpoint(path)
    if as_json:
        print(json.dumps(found.as_dict(), indent=2))
        return 0 if found.verdict == "supported" else 1
    # What a checkpoint says of itself may be meant for the terminal and not for its reader.
    from edgegen.report.tables import printable

    size = "" if found.parameter_count is None else f", {found.parameter_count:,} parameters"
    print(printable(f"{found.verdict}: {found.model_type or 'no model_type'}{size}"))
    for title, lines in (("missing", found.missing), ("there are blocks for", found.present)):
        if lines:
            print(f"{title}:")
            print("".join(f"  - {printable(line)}\n" for line in lines), end="")
    if found.hint:
        print(printable(f"next: {found.hint}"))
    return 0 if found.verdict == "supported" else 1


def _check_bundle(arguments: argparse.Namespace) -> int:
    from edgegen.bundle.doctor import Limits, Settings, check_bundle
    from edgegen.bundle.preview import cached_folder
    from edgegen.report.doctor import render_health

    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgegen"
    usual = Limits()
    limits = Limits(
        timeout_s=arguments.timeout or usual.timeout_s,
        memory_bytes=int((arguments.memory or 0) * 1024**3) or usual.memory_bytes,
    )
    health = check_bundle(
        arguments.path,
        only=arguments.only,
        skip=arguments.skip,
        engines=not arguments.no_engines,
        settings=Settings(arguments.deep, limits, arguments.engine_dir or cached_folder(cache)),
    )
    if arguments.json:
        print(json.dumps(health.as_dict(), indent=2))
    else:
        terminal = sys.stdout.isatty()
        width = shutil.get_terminal_size().columns if terminal else 100
        print(render_health(health, terminal=terminal, width=width), end="")
    return 1 if health.verdict == "fail" else 0


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(","))
