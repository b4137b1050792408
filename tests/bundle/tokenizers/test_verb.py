"""`edgegen tokenizer`, as the command line calls it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from edgegen.bundle import SentencePieceTokenizer
from edgegen.cli import tokenizer as verb
from edgegen.errors import OutputError, TokenizerError


def arguments(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", action="store_true")
    verb.add_arguments(parser)
    return parser.parse_args(words)


def test_it_writes_a_model_and_says_what_differs(
    saved: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "tokenizer.model"
    words = (str(saved("gpt2").parent), "-o", str(output), "--max-mismatch-rate", "0.01")
    assert verb.run(arguments(*words)) == 0
    shown = capsys.readouterr().out
    assert "odd spaces" in shown
    assert "3,002 ids" in shown
    assert SentencePieceTokenizer(output, output.read_bytes()).encode("to be")
    with pytest.raises(OutputError, match="exists"):
        verb.run(arguments(*words))


def test_what_does_not_pass_is_shown_and_not_written(
    saved: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "tokenizer.model"
    with pytest.raises(TokenizerError, match="cannot be converted without loss"):
        verb.run(arguments(str(saved("unigram")), "-o", str(output), "--json"))
    content = json.loads(capsys.readouterr().out)
    assert content["gate"]["passed"] is False
    assert content["pieces"] == content["size"] == 1000
    assert not output.exists()


@pytest.mark.parametrize(
    ("rate", "message"), [("x", "x is no number"), ("2", "2 is not between 0 and 1")]
)
def test_a_wrong_rate_is_refused(
    capsys: pytest.CaptureFixture[str], rate: str, message: str
) -> None:
    with pytest.raises(SystemExit):
        arguments("folder", "--max-mismatch-rate", rate)
    assert message in capsys.readouterr().err
