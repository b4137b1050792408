"""The `edgegen` command: one thin file per verb, loaded only when that verb runs."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import sys
from collections.abc import Iterator, Sequence

from edgegen import __version__
from edgegen.errors import EdgegenError

# verb -> what `edgegen --help` says. The file of a verb is edgegen/cli/<verb>.py, with
# `add_arguments(parser)`, `run(arguments) -> int` and, where examples help, EXAMPLES.
VERBS = {
    "build": "make a bundle from a checkpoint folder, in one command",
    "run": "generate text from a bundle with LiteRT-LM on this machine",
    "bench": "measure a bundle: initialization, first token, rates, memory",
    "inspect": "show what is inside a bundle",
    "list": "print the known architectures, recipes and runners",
    "demo": "build, run and measure the shipped tiny model",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status: 0, 1 for errors, 2 for usage."""
    arguments_given = list(sys.argv[1:] if argv is None else argv)
    verb = next((word for word in arguments_given if not word.startswith("-")), None)
    parser, subparsers = _parser()
    if verb in VERBS:
        module = importlib.import_module(f"edgegen.cli.{verb}")
        module.add_arguments(subparsers[verb])
        _common_arguments(subparsers[verb])
        subparsers[verb].epilog = getattr(module, "EXAMPLES", None)
    arguments = parser.parse_args(arguments_given)
    if arguments.verb is None:
        parser.print_help(sys.stderr)
        return 2
    try:
        with _third_parties(quiet=not arguments.verbose), _progress():
            return int(module.run(arguments))
    except EdgegenError as error:
        return _fail(error.message, error.hint)
    except KeyboardInterrupt:
        _fail("interrupted", "nothing was left half-written; run the command again")
        return 130
    except BrokenPipeError:
        # The reader of our output left (`edgegen inspect ... | head`): not an error of ours.
        # Python would complain once more when it flushes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _parser() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    parser = argparse.ArgumentParser(
        prog="edgegen",
        description="Take a trained PyTorch language model all the way onto a phone.",
        epilog="`edgegen VERB --help` explains one verb.",
    )
    parser.add_argument("--version", action="version", version=f"edgegen {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB")
    return parser, {
        name: verbs.add_parser(
            name,
            help=summary,
            description=summary[0].upper() + summary[1:] + ".",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        for name, summary in VERBS.items()
    }


def _common_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the result as JSON on stdout")
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="show what third-party libraries print"
    )


def _fail(message: str, hint: str | None) -> int:
    print(f"error: {message}", file=sys.stderr)
    if hint:
        print(f"hint: {hint}", file=sys.stderr)
    return 1


@contextlib.contextmanager
def _third_parties(*, quiet: bool) -> Iterator[None]:
    """Keep the libraries below us from talking over our own output, unless asked to."""
    if not quiet:
        yield
        return
    import logging
    import warnings

    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), _native_stderr_silenced():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


@contextlib.contextmanager
def _native_stderr_silenced() -> Iterator[None]:
    """Send what native code writes to descriptor 2 nowhere, and keep `sys.stderr` working."""
    sys.stderr.flush()
    terminal = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    ours = sys.stderr
    if ours is sys.__stderr__:  # and not a test's or an embedder's own object
        sys.stderr = open(terminal, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115 - a descriptor, closed below
    try:
        yield
    finally:
        if sys.stderr is not ours:
            sys.stderr.flush()
            sys.stderr = ours
        os.dup2(terminal, 2)
        os.close(terminal)


@contextlib.contextmanager
def _progress() -> Iterator[None]:
    """Draw progress on stderr where that is a terminal; elsewhere stay silent."""
    if not sys.stderr.isatty():
        yield
        return
    from edgegen.cli.progress_bars import ProgressBars
    from edgegen.progress import reporting

    with ProgressBars() as bars, reporting(bars):
        yield
