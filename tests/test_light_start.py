"""The command line starts without what is heavy, and ends as the shell expects."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from edgegen.cli import VERBS
from tests.signals import ORDINARY_SIGNALS

HEAVY = (
    "torch",
    "torchao",
    "jax",
    "mediapipe",
    "transformers",
    "litert_torch",
    "litert_converter",
    "litert_lm",
    "ai_edge_litert",
    "ai_edge_quantizer",
)
# Prints, last on stderr, what of HEAVY the statements before it have loaded.
REPORT = f"print(json.dumps(sorted(set({HEAVY!r}) & set(sys.modules))), file=sys.stderr)"
# A verb `run` that does what the test wants, in the place of the real one.
FAKE_VERB = """
import sys, types
from edgegen.cli import main
from edgegen.errors import EdgegenError
verb = types.ModuleType("edgegen.cli.run")
verb.add_arguments = lambda parser: None
def run(arguments):
    {body}
verb.run = run
sys.modules["edgegen.cli.run"] = verb
raise SystemExit(main(["run"]))
"""


# A container's setting; users have output that is buffered, and written at the very end.
BUFFERED = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*ORDINARY_SIGNALS, sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        env=BUFFERED,
    )


def edgegen(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edgegen", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def loaded(statements: str) -> list[str]:
    done = python(f"import json, sys\ntry:\n    {statements}\nfinally:\n    {REPORT}")
    return json.loads(done.stderr.splitlines()[-1])


@pytest.mark.parametrize(
    "statements",
    [
        "import edgegen; dir(edgegen)",
        "import edgegen.bundle, edgegen.device, edgegen.report",
        "from edgegen.cli import main; main(['--help'])",
        "from edgegen.cli import main; main(['--version'])",
        *(f"from edgegen.cli import main; main(['{verb}', '--help'])" for verb in VERBS),
    ],
)
def test_starting_loads_nothing_heavy(statements):
    """A look at sys.modules, since a stopwatch on a busy machine proves nothing."""
    assert loaded(statements) == []


def test_the_look_at_sys_modules_would_see_it():
    assert loaded("import sys; sys.modules['torch'] = sys") == ["torch"]


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb):
    done = edgegen(verb, "--help")
    assert done.returncode == 0, done.stderr
    assert f"usage: edgegen {verb}" in done.stdout
    assert "--json" in done.stdout
    assert f"edgegen {verb}" in done.stdout.partition("options:")[2], "no example at the end"


def test_help_names_every_verb():
    done = edgegen("--help")
    assert done.returncode == 0
    assert [verb for verb in VERBS if f"\n    {verb}" not in done.stdout] == []


@pytest.mark.parametrize("arguments", [(), ("no-such-verb",), ("--no-such-option",)])
def test_wrong_usage_ends_with_2_and_the_usage(arguments):
    done = edgegen(*arguments)
    assert done.returncode == 2
    assert "usage: edgegen" in done.stderr
    assert done.stdout == ""


def test_an_expected_error_is_two_lines_and_status_1():
    done = python(FAKE_VERB.format(body="raise EdgegenError('no phone', 'plug one in')"))
    assert done.returncode == 1
    assert done.stderr == "error: no phone\nhint: plug one in\n"
    assert done.stdout == ""


def test_an_expected_error_without_a_hint_is_one_line():
    done = python(FAKE_VERB.format(body="raise EdgegenError('no phone')"))
    assert done.returncode == 1
    assert done.stderr == "error: no phone\n"


def test_an_unexpected_error_keeps_its_traceback():
    """Hiding our own mistakes behind a friendly line would make them unreportable."""
    done = python(FAKE_VERB.format(body="return 1 // 0"))
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "ZeroDivisionError" in done.stderr


def test_a_reader_that_leaves_is_no_traceback():
    body = "\n    ".join(("while True:", "    print('x' * 65536)"))
    with subprocess.Popen(
        [sys.executable, "-c", FAKE_VERB.format(body=body)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        process.stdout.read(1)
        process.stdout.close()
        stderr = process.stderr.read()
        process.wait(timeout=60)
    assert process.returncode == 1
    assert stderr == ""


def test_a_reader_that_left_before_the_last_words_is_no_traceback():
    """Short output reaches the pipe only when Python ends."""
    with subprocess.Popen(
        [sys.executable, "-c", FAKE_VERB.format(body="sys.stdin.read(); print('x'); return 0")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=BUFFERED,
    ) as process:
        process.stdout.close()
        process.stdin.close()
        stderr = process.stderr.read()
        process.wait(timeout=60)
    assert process.returncode == 1
    assert stderr == ""


def test_ctrl_c_ends_with_130_and_no_traceback():
    body = "import time; print('ready', flush=True); time.sleep(60)"
    with subprocess.Popen(
        [*ORDINARY_SIGNALS, sys.executable, "-c", FAKE_VERB.format(body=body)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "ready\n"
        os.kill(process.pid, signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert stderr.startswith("error: interrupted\nhint: ")
    assert "Traceback" not in stderr
