"""What no script is made for."""

from __future__ import annotations

import re

import pytest

from edgegen.device.sampling import sampling_script


@pytest.mark.parametrize("interval_s", [0, -1.0, float("nan"), float("inf")])
def test_an_interval_is_above_0(interval_s):
    message = f"interval {interval_s!r} s and timeout None s, expected > 0"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        sampling_script("true", csv_path="/a", interval_s=interval_s, timeout_s=None)


@pytest.mark.parametrize("timeout_s", [0, -1.0, float("nan"), float("inf")])
def test_a_timeout_is_above_0(timeout_s):
    message = f"interval 0.1 s and timeout {timeout_s!r} s, expected > 0"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        sampling_script("true", csv_path="/a", interval_s=0.1, timeout_s=timeout_s)


@pytest.mark.parametrize(
    "command", ["a; b", "a && b", "a | b", "a & b", "(a)", "a\nb", "'exec' b; c"]
)
def test_of_a_list_the_last_is_executed(command):
    message = f"{command!r} is a list of commands, expected its last to begin with exec"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        sampling_script(command, csv_path="/a", interval_s=0.1, timeout_s=None)


@pytest.mark.parametrize("command", ["find . -exec a", "a >b 2>&1", "a 'b; c'"])
def test_a_command_becomes_the_process(command):
    made = sampling_script(command, csv_path="/a", interval_s=0.1, timeout_s=None)
    assert f"\nexec {command}\n" in made


@pytest.mark.parametrize("command", ["", "  ", "echo 'a", 'echo "a', "\n"])
def test_what_is_no_command(command):
    with pytest.raises(ValueError, match=f"^{re.escape(repr(command))} is no command$"):
        sampling_script(command, csv_path="/a", interval_s=0.1, timeout_s=None)


def test_it_is_of_the_size_that_its_description_says():
    made = sampling_script("true", csv_path="/a", interval_s=0.1, timeout_s=None)
    assert 4096 < len(made) < 10_000
