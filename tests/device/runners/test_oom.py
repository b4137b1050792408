"""Kills for want of memory, by the kernel's own count."""

from __future__ import annotations

import pytest

from edgegen.device.bench.record import Failure
from edgegen.device.runners.oom import killed, oom_kills, oom_kills_of

CRASHED = Failure("crashed", "the engine was killed by SIGKILL", "a hint", "an excerpt")


def test_one_more_kill_is_that_of_the_engine():
    assert killed(CRASHED, 3, 4) == Failure(
        "out_of_memory",
        "the engine was killed by SIGKILL, and the kernel counts one more process that it killed "
        "for want of memory",
        "close other programs, or build with a smaller recipe or --kv-cache-len",
        "an excerpt",
    )


def test_no_more_kills_mean_that_it_was_another():
    assert killed(CRASHED, 3, 3) == Failure(
        "crashed",
        "the engine was killed by SIGKILL; not by the kernel for want of memory, which counts no "
        "such kill",
        "somebody or something ended it: run it again",
        "an excerpt",
    )


@pytest.mark.parametrize(("before", "after"), [(None, 3), (3, None), (None, None)])
def test_without_a_count_nothing_is_said(before, after):
    assert killed(CRASHED, before, after) == CRASHED


def test_the_count_of_a_device_is_that_of_its_kernel(phone):
    # The double's shell is this machine's.
    assert oom_kills_of(phone().transport) == oom_kills()


@pytest.mark.parametrize(
    ("lines", "count"),
    [
        ("echo oom_kill 5; echo oom_kill 2", 10 + 4),
        ("echo oom_kill x", None),
        ("exit 1", None),
    ],
)
def test_counters_are_added_and_what_is_none_is_none(phone, lines, count):
    assert oom_kills_of(phone({"grep": lines}).transport) == count


def test_a_device_that_is_gone_counts_nothing(phone):
    here = phone()
    here.double.close()
    assert oom_kills_of(here.transport) is None
