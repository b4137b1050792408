"""The `edgegen` command: one thin file per verb, loaded only when that verb runs."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import sys
from collections.abc import Iterator, Sequence

from edgegen import __version__
from edgegen.cli.ending import signals_raise
from edgegen.cli.failing import abandon_stdout, fail, fail_ended, fail_os
from edgegen.cli.third_parties import third_parties
from edgegen.errors import EdgegenError

# verb -> what `edgegen --help` says. The file of a verb is edgegen/cli/<verb>.py, with
# `add_arguments(parser)`, `run(arguments) -> int` and, where examples help, EXAMPLES.
VERBS = {
    "check": "tell whether a checkpoint can be built, or what is wrong with a bundle",
    "plan": "tell the size and memory of each recipe's build, without loading weights",
    "build": "make a bundle from a checkpoint folder, in one command",
    "convert": "make a .tflite from a checkpoint folder, without a bundle around it",
    "run": "generate text from a bundle with LiteRT-LM on this machine",
    "preview": "chat with a bundle in the browser's GPU, with MediaPipe's web engine",
    "bench": "measure a bundle: initialization, first token, rates, memory",
    "report": "show what bench recorded: tables, plots, comparison with a baseline",
    "tune": "search for a recipe of several precisions, for a size or a quality",
    "verify": "compare a checkpoint and its bundle rung by rung, and name what departs",
    "inspect": "show what is inside a bundle",
    "tokenizer": "convert a tokenizer.json to SentencePiece, and say what that changes",
    "diff": "tell what differs between two bundles",
    "bundle": "convert a bundle to the other format, or edit its metadata",
    "devices": "list the devices that are connected, and what they are",
    "push": "copy bundles to devices: only what is missing, whole or not at all",
    "pull": "copy a file from a device",
    "shell": "run a command on a device",
    "list": "print the known architectures, recipes and runners",
    "demo": "build, run and measure the shipped tiny model",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status.

    0; 1 for errors, 2 for usage, 128 + N if signal N asked us to end.
    """
    # Not list(...): here that name is the verb, once it is loaded.
    words = [*(sys.argv[1:] if argv is None else argv)]
    with signals_raise():
        try:
            status = _run(words)
            sys.stdout.flush()
            return status
        except EdgegenError as error:
            status = fail(error.message, error.hint)
        except KeyboardInterrupt as ended:
            status = fail_ended(ended)
        except BrokenPipeError:
            # The reader of our output left (`edgegen inspect ... | head`): no error of ours.
            status = 1
        except OSError as error:
            status = fail_os(error, verbose="-v" in words or "--verbose" in words)
        abandon_stdout()
        return status


def _run(words: Sequence[str]) -> int:
    verb = next((word for word in words if not word.startswith("-")), None)
    parser, subparsers = _parser()
    if verb in VERBS:
        module = importlib.import_module(f"edgegen.cli.{verb}")
        module.add_arguments(subparsers[verb])
        _common_arguments(subparsers[verb])
        subparsers[verb].epilog = getattr(module, "EXAMPLES", None)
    arguments = parser.parse_args(words)
    if arguments.verb is None:
        parser.print_help(sys.stderr)
        return 2
    with third_parties(verbose=arguments.verbose), _progress():
        return int(module.run(arguments))


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
    # After an operation of the verb they mean the same as before it.
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for operation in action.choices.values():
                operation.add_argument("--json", action="store_true", default=argparse.SUPPRESS)
                operation.add_argument(
                    "-v", "--verbose", action="store_true", default=argparse.SUPPRESS
                )


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
