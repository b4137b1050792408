"""Flags for generation parameters, as `build` and `bundle edit` have them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest

from edgegen.cli.parameter_arguments import add_parameter_arguments, given_parameters
from edgegen.errors import BundleError


def given(*words: str) -> dict[str, Any]:
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_parameter_arguments(parser)
    return given_parameters(parser.parse_args(words))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], {}),
        (["--greedy"], {"do_sample": False}),
        (["--sample"], {"do_sample": True}),
        (["--greedy", "--temperature", "0.7"], {"do_sample": False, "temperature": 0.7}),
    ],
)
def test_sampling_flags(words: list[str], expected: dict[str, Any]) -> None:
    assert given(*words) == expected


def test_greedy_and_sample_exclude_each_other() -> None:
    with pytest.raises(
        argparse.ArgumentError, match="--sample: not allowed with argument --greedy"
    ):
        given("--greedy", "--sample")


def test_a_template_is_a_file_or_itself_or_a_name(tmp_path: Path) -> None:
    path = tmp_path / "chat.jinja"
    path.write_text("{{ messages }}")
    long = "{{ messages }}" + "x" * 5000  # longer than a file's name may be

    assert given("--chat-template", str(path)) == {"chat_template": "{{ messages }}"}
    assert given("--chat-template", long) == {"chat_template": long}
    assert given("--chat-template", "tool_use") == {"chat_template": "tool_use"}


def test_a_file_that_is_no_template_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text("none")
    with pytest.raises(BundleError) as caught:
        given("--chat-template", str(path))

    assert caught.value.message == (
        f"{path} cannot be the chat template: it is no Jinja template, there is neither {{{{ nor "
        "{% in it"
    )
    assert caught.value.hint == "check the path"
