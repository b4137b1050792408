"""How commands fail when the operating system refuses, and what they print then."""

from __future__ import annotations

import errno
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from edgegen.cli import VERBS, main
from edgegen.errors import EdgegenError
from edgegen.report.tables import printable
from tests.test_light_start import BUFFERED


def test_an_output_below_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "FILE").touch()
    assert main(["demo", "-o", str(tmp_path / "FILE" / "x.task")]) == 1

    error, hint = capsys.readouterr().err.splitlines()
    assert error == f"error: {tmp_path / 'FILE'}: File exists"
    assert hint.startswith("hint: a part of the path is a file")


def test_a_demo_of_a_wrong_name_makes_no_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo", "-o", str(tmp_path / "new" / "x.tflite")]) == 1

    assert "x.tflite does not end in .task or .litertlm" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("verb", [["run", "{}", "x"], ["bench", "{}"], ["inspect", "{}"]])
def test_a_name_too_long(capsys: pytest.CaptureFixture[str], verb: list[str]) -> None:
    name = "x" * 300
    assert main([word.format(name) for word in verb]) == 1

    assert capsys.readouterr().err.startswith(f"error: cannot read {name}: File name too long\n")


def test_a_full_disk_behind_stdout() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "edgegen", "list", "runners"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=BUFFERED,
        )
    assert done.returncode == 1
    assert done.stderr == (
        "error: reading or writing failed: No space left on device\n"
        "hint: free some space, or choose another disk\n"
    )


def failing(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def run(arguments: object) -> int:
        raise error

    monkeypatch.setattr("edgegen.cli.list.run", run)


@pytest.mark.parametrize(
    ("number", "hint"),
    [
        (errno.EACCES, "check the permissions"),
        (errno.EROFS, "check the permissions"),
        (errno.ENOSPC, "free some space"),
        (errno.ENOTDIR, "expected a folder"),
        (errno.ENOENT, "check the path"),
        (errno.ENAMETOOLONG, "choose a shorter name"),
        (errno.ENOMEM, "close other programs"),
        (errno.EIO, "with -v to see where it failed"),
    ],
)
def test_refusals_of_the_system_have_a_hint(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: int, hint: str
) -> None:
    error = OSError(number, "refused", "some/file")
    failing(monkeypatch, error)
    assert main(["list", "archs"]) == 1

    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "error: some/file: refused"
    assert hint in lines[1]
    assert len(lines) == 2


def test_refusals_without_number_or_name_keep_their_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing(monkeypatch, OSError("libx.so: cannot open shared object file"))
    assert main(["list", "archs"]) == 1

    assert "libx.so: cannot open shared object file\nhint: " in capsys.readouterr().err


def test_v_shows_where_the_system_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing(monkeypatch, OSError(errno.EIO, "refused", "some/file"))
    assert main(["list", "archs", "-v"]) == 1

    assert "Traceback" in capsys.readouterr().err


def test_an_error_cannot_take_over_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its text may quote the names in a file that came from anywhere."""
    failing(monkeypatch, EdgegenError("tensor '\x1b[2J\x9b1m\r\u202e'\nfound", "drop \x07it"))
    assert main(["list", "archs"]) == 1

    assert capsys.readouterr().err == (
        "error: tensor '\ufffd[2J\ufffd1m\ufffd\ufffd'\nfound\nhint: drop \ufffdit\n"
    )


@pytest.mark.parametrize("text", ["a\tb\nc", "π 🙂 日本"])
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert printable(text) == text


@pytest.fixture(params=VERBS)
def logging_verb(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A verb that only logs what the processes below it said."""

    def run(arguments: object) -> int:
        for name in ("engine", "convert"):
            logging.getLogger(f"edgegen.{name}").debug("%s said \x1b[1mso", name)
        return 0

    monkeypatch.setattr(f"edgegen.cli.{request.param}.run", run)
    return str(request.param)


ARGUMENTS = {
    "build": ["hf", "-o", "m.task"],
    "run": ["m.task", "x"],
    "bench": ["m.task"],
    "report": ["runs/a"],
    "check": ["hf"],
    "convert": ["hf", "-o", "m.tflite"],
    "plan": ["hf"],
    "tune": ["hf", "-o", "r.json", "--max-kl", "1"],
    "verify": ["hf"],
    "inspect": ["m.task"],
    "diff": ["m.task", "n.task"],
    "tokenizer": ["hf"],
    "bundle": ["convert", "m.task", "-o", "m.litertlm"],
    "preview": ["m.task"],
    "devices": [],
    "push": ["m.task"],
    "pull": ["/data/local/tmp/m.task"],
    "shell": ["ls"],
    "list": ["archs"],
    "demo": [],
}


def test_v_shows_what_other_processes_logged(
    logging_verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [logging_verb, *ARGUMENTS[logging_verb]]
    assert main([*words, "-v"]) == 0
    out, err = capsys.readouterr()
    assert err == "engine said \ufffd[1mso\nconvert said \ufffd[1mso\n"
    assert out == ""

    assert main(words) == 0
    assert capsys.readouterr() == ("", "")
