"""Linux boards: the double's shell is this machine's, so the engine there is the real one."""

from __future__ import annotations

import json
import sys

import pytest

from edgegen.device.bench.workload import Workload
from edgegen.device.runners import board
from edgegen.device.runners.interface import RunRequest
from edgegen.errors import DeviceError


def open_board(here, **more):
    return board.open(here.transport, here.options(**{"python": sys.executable, **more}))


def test_the_real_engine_measures_on_a_board(phone, bundle):
    here = phone(missing=("getprop", "dumpsys"))
    with open_board(here) as runner:
        runner.prepare(bundle)
        engine = runner.engine()
        assert (engine.runner, engine.name) == ("board", "litert-lm (Python)")
        assert engine.version is not None
        assert [len(digest) for digest in engine.files_sha256.values()] == [64]
        outcome = runner.run(RunRequest(bundle, Workload(32, 16), timeout_s=120))
        assert outcome.failure is None, outcome.log
        metrics = outcome.metrics
        assert metrics is not None
        assert (metrics.prefill_tokens, metrics.decode_tokens) == (32, 16)
        assert metrics.prefill_tokens_per_s is not None
        assert metrics.init_ms is not None
        assert {d.signature for d in outcome.delegations} >= {"decode", "prefill_32"}
        assert outcome.memory.peak_rss_bytes is not None
        assert outcome.memory.peak_rss_bytes > bundle.path.stat().st_size
        assert "prefill_tokens=32" in outcome.flags
        behind = runner.run(RunRequest(bundle, Workload(16, 0, 32), timeout_s=120))
        assert behind.failure is None, behind.log
        assert behind.metrics is not None
        assert (behind.metrics.prefill_tokens, behind.metrics.decode_tokens) == (16, None)
    assert not here.work.exists()


def test_a_bundle_that_the_engine_refuses_is_a_failure(phone, bundle):
    here = phone()
    with open_board(here) as runner:
        runner.prepare(bundle)
        outcome = runner.run(RunRequest(bundle, Workload(16, 5000, 8), timeout_s=120))
    assert outcome.metrics is None
    assert outcome.failure is not None
    assert outcome.failure.kind in ("wrong_counts", "refused")


def fake_python(folder, body):
    """Write a Python that finds the package, but runs `body` in the place of the engine."""
    path = folder / "python"
    path.write_text(f'#!/bin/sh\n[ "$1" = -c ] && exec {sys.executable} "$@"\n{body}\n')
    path.chmod(0o755)
    return str(path)


def done(**more):
    """Return a script that leaves a result."""
    told = {
        "init_ms": 1.0,
        "ttft_ms": 1.0,
        "prefill_tokens": 16,
        "prefill_tokens_per_s": 5.0,
        "decode_tokens": 8,
        "decode_tokens_per_s": 5.0,
    }
    return f"echo '{json.dumps({'done': {**told, **more}})}' >\"$3\""


def test_a_result_that_is_whole_is_one(phone, bundle, tmp_path):
    here = phone()
    with open_board(here, python=fake_python(tmp_path, done())) as runner:
        runner.prepare(bundle)
        outcome = runner.run(RunRequest(bundle, Workload(16, 8), timeout_s=20))
    assert outcome.failure is None
    assert "way=benchmark" in outcome.flags


def test_a_kill_that_the_kernel_counts_is_want_of_memory(phone, bundle, tmp_path):
    # Each look finds one more.
    counts = (
        'n=$(cat "$HOME/n" 2>/dev/null || echo 0); echo $((n + 1)) >"$HOME/n"; echo oom_kill $n'
    )
    here = phone({"grep": counts})
    with open_board(here, python=fake_python(tmp_path, "kill -KILL $$")) as runner:
        runner.prepare(bundle)
        outcome = runner.run(RunRequest(bundle, Workload(16, 8), timeout_s=20))
    assert outcome.failure is not None
    assert outcome.failure.kind == "out_of_memory"
    assert outcome.failure.message == (
        "the engine was killed by SIGKILL, and the kernel counts one more process that it killed "
        "for want of memory"
    )


def test_a_kill_where_the_kernel_counts_none_is_only_that(phone, bundle, tmp_path):
    here = phone({"grep": "exit 1"})
    with open_board(here, python=fake_python(tmp_path, "kill -KILL $$")) as runner:
        runner.prepare(bundle)
        outcome = runner.run(RunRequest(bundle, Workload(16, 8), timeout_s=20))
    assert outcome.failure is not None
    assert (outcome.failure.kind, outcome.failure.message) == (
        "crashed",
        "the engine was killed by SIGKILL; nothing shows that memory ran out",
    )


@pytest.mark.parametrize(
    ("body", "kind", "message"),
    [
        ("echo hello; kill -SEGV $$", "crashed",
         "the engine was killed by SIGSEGV; the last of its log:\n  hello"),
        ("kill -KILL $$", "crashed",
         "the engine was killed by SIGKILL; not by the kernel for want of memory, which counts no "
         "such kill"),
        ("echo garbage; exit 0", "no_result", "the engine ended without telling its times"),
        ('echo "{" >"$3"', "no_result", "the engine ended without telling its times"),
        ('echo \'{"done": {"init_ms": "x"}}\' >"$3"', "no_result",
         "the engine ended without telling its times"),
        ('echo \'{"done": {"init_ms": 1, "prefill_tokens": 16}}\' >"$3"', "no_result",
         "the engine ended without telling a rate of prefill and decode"),
        (done(decode_tokens_per_s=-3.0), "no_result",
         "the engine told a time or rate that cannot be: decode_tokens_per_s -3.0"),
        (done(prefill_tokens_per_s=0.0, ttft_ms=0.0), "no_result",
         "the engine told a time or rate that cannot be: ttft_ms 0.0, prefill_tokens_per_s 0.0"),
        (done(prefill_tokens=None), "no_result",
         "the engine ended without telling the number of tokens of prefill"),
        (done(decode_tokens=7), "wrong_counts",
         "the engine ran 16 prefill and 7 decode tokens, expected 16 and 8"),
        ('echo \'{"error": "RuntimeError: no"}\' >"$3"; echo "E0000 x.cc:1] it failed"', "refused",
         "the engine failed: it ended with status 1; the last of its log:\n"
         "  E0000 x.cc:1] it failed\n  RuntimeError: no"),
        ("exec sleep 60", "timed_out", "the engine was not done after 2 s and was ended"),
    ],
)  # fmt: skip
def test_failures_of_the_engine_are_told(phone, bundle, tmp_path, body, kind, message):
    here = phone()
    with open_board(here, python=fake_python(tmp_path, body)) as runner:
        runner.prepare(bundle)
        outcome = runner.run(RunRequest(bundle, Workload(16, 8), timeout_s=2))
    assert outcome.failure is not None
    assert (outcome.failure.kind, outcome.failure.message) == (kind, message)


def test_a_board_without_python(phone, bundle):
    here = phone()
    with pytest.raises(DeviceError) as caught:
        open_board(here, python="python9").prepare(bundle)
    assert caught.value.message.startswith(
        f"{here.double.serial} has no Python that runs as 'python9': "
    )
    assert caught.value.hint == (
        "install Python 3.10 or newer there, or name one: --python /path/to/python; a phone is "
        "measured by --runner litert-lm or app"
    )


def test_a_board_without_the_package(phone, bundle, tmp_path):
    here = phone()
    path = tmp_path / "python"
    path.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n')
    path.chmod(0o755)
    with pytest.raises(DeviceError) as caught:
        open_board(here, python=str(path)).prepare(bundle)
    assert caught.value.message == (
        f"LiteRT-LM is not installed for '{path}' on {here.double.serial}"
    )
    assert caught.value.hint == f"install it there: {path} -m pip install litert-lm-api"


def test_a_python_that_says_something_else(phone, bundle, tmp_path):
    here = phone()
    path = tmp_path / "python"
    path.write_text("#!/bin/sh\necho welcome\n")
    path.chmod(0o755)
    with pytest.raises(DeviceError) as caught:
        open_board(here, python=str(path)).prepare(bundle)
    assert caught.value.message == (
        f"'{path}' on {here.double.serial} says 'welcome', expected JSON"
    )
