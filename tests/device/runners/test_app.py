"""The app as runner: a script on the double follows the contract, or breaks it."""

from __future__ import annotations

import dataclasses
import json
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgegen.device.bench.record import Failure, Memory
from edgegen.device.bench.workload import Workload
from edgegen.device.runners import app
from edgegen.device.runners.app_protocol import (
    PROTOCOL,
    AppRequest,
    AppResult,
    Progress,
    ProtocolMismatch,
    encode_request,
    progress_of,
    read_result,
)
from edgegen.device.runners.interface import RunRequest
from edgegen.device.testing import DUMPSYS
from edgegen.errors import DeviceError

FAKE = Path(__file__).with_name("fake_app.py")
PACKAGE = app.PACKAGE
# Android's commands, as far as the runner uses them. HOME is the double's root.
COMMANDS = {
    "pm": f'[ "$2" = {PACKAGE} ] && echo package:/data/app/base.apk',
    "run-as": f'shift; mkdir -p "$HOME/data/data/{PACKAGE}"; cd "$HOME/data/data/{PACKAGE}" && '
    'exec "$@"',
    "pidof": 'pid=$(cat "$HOME/app.pid" 2>/dev/null) && grep -q "^State:.[^ZX]" '
    '"/proc/$pid/status" 2>/dev/null && echo "$pid"',
    "am": f"""case $1 in
force-stop) [ -e "$HOME/app.pid" ] && kill -9 "$(cat "$HOME/app.pid")" 2>/dev/null
  rm -f "$HOME/app.pid" ;;
start) while [ "$1" != request ]; do shift; done
  setsid {sys.executable} {FAKE} "$HOME" {PACKAGE} "$2" </dev/null >"$HOME/app.out" 2>&1 &
  echo $! >"$HOME/app.pid"; echo "Status: ok" ;;
esac
exit 0""",
    "logcat": 'touch "$HOME/logcat.txt"; case " $* " in *" -d "*) exec cat "$HOME/logcat.txt";; '
    'esac; exec tail -n +1 -f "$HOME/logcat.txt"',
}
SERVICES = {**DUMPSYS, "package": "Packages:\n    versionName=1.2.3\n"}


@pytest.fixture
def app_phone(phone):
    """A phone whose app does what a mode says."""

    def make(mode="", commands=None):
        here = phone({**COMMANDS, **(commands or {})}, dumpsys=SERVICES)
        (here.double.root / "mode").write_text(mode)
        return here

    return make


def run_once(here, bundle, **asked):
    asked = {"workload": Workload(32, 16), "timeout_s": 20.0, **asked}
    with app.open(here.transport, here.options()) as runner:
        runner.prepare(bundle)
        return runner.run(RunRequest(bundle, **asked))


def test_a_result_is_fetched(app_phone, bundle):
    here = app_phone()
    outcome = run_once(here, bundle)
    assert outcome.failure is None
    metrics = outcome.metrics
    assert metrics is not None
    assert (metrics.prefill_tokens, metrics.prefill_tokens_per_s) == (32, 400.5)
    assert (metrics.decode_tokens, metrics.decode_tokens_per_s) == (16, 30.5)
    assert (metrics.init_ms, metrics.ttft_ms) == (100.5, 20.25)
    assert outcome.wall_s == 1.5
    assert outcome.memory == Memory(peak_pss_bytes=123456789)
    assert outcome.missing["gpu_bytes"] == "the driver does not tell"
    assert outcome.flags[:3] == (
        f"protocol={PROTOCOL}",
        "prefill_tokens=32",
        "decode_tokens=16",
    )
    assert outcome.flags[-1] == "way=session"
    assert outcome.log.startswith(f"cold=False {bundle.path.stat().st_size}\n")
    assert '"state": "prefill"' in outcome.log
    files = here.double.root / f"data/data/{PACKAGE}/files"
    assert list((files / "bench").iterdir()) == []
    [copied] = (files / "bundles").glob("*/*")
    assert copied.read_bytes() == bundle.path.read_bytes()


def test_the_app_is_told_by_its_version_and_the_bundle_copied_once(app_phone, bundle):
    here = app_phone()
    inodes = set()
    for _ in range(2):
        with app.open(here.transport, here.options()) as runner:
            runner.prepare(bundle)
            assert (runner.engine().name, runner.engine().version) == (PACKAGE, "1.2.3")
        files = here.double.root / f"data/data/{PACKAGE}/files/bundles"
        [copied] = files.glob("*/*")
        inodes.add(copied.stat().st_ino)
    assert len(inodes) == 1


def test_a_cold_run_is_asked_for_once(app_phone, bundle):
    here = app_phone()
    with app.open(here.transport, here.options()) as runner:
        runner.prepare(bundle)
        request = RunRequest(bundle, Workload(32, 16), timeout_s=20)
        runner.drop_caches()
        assert runner.run(request).log.startswith("cold=True")
        assert runner.run(request).log.startswith("cold=False")


def test_the_gpu_is_believed_with_evidence_of_logcat(app_phone, bundle):
    outcome = run_once(app_phone(), bundle, delegate="gpu")
    assert outcome.failure is None
    assert outcome.gpu_adapter == "GPU OpenCL"
    assert {d.delegate for d in outcome.delegations} == {"LITERT_CL"}


@pytest.mark.parametrize(
    ("mode", "asked", "failure"),
    [
        (
            "hot",
            {},
            Failure("too_hot", "the phone's thermal status is severe", "let it cool down"),
        ),
        ("bad request", {}, Failure("refused", "the request has no 'bundle'", "see the contract")),
        (
            "neither",
            {},
            Failure(
                "no_result",
                f"the result of {PACKAGE} has neither metrics nor a failure",
                "see docs/reference/app-runner.md for what it must have",
            ),
        ),
        (
            "other version",
            {},
            Failure(
                "no_result",
                "the app speaks 'edgegen.app-runner/9', expected 'edgegen.app-runner/1'",
                "install the app of the same version as edgegen",
            ),
        ),
        (
            "both",
            {},
            Failure(
                "no_result",
                "the app's result has metrics and a failure",
                "docs/reference/app-runner.md says what it must be",
            ),
        ),
        (
            "hangs",
            {"timeout_s": 2.0},
            Failure(
                "timed_out",
                "the engine was not done after 2 s and was ended",
                "allow more time, or ask for fewer tokens",
            ),
        ),
        (
            "short",
            {},
            Failure(
                "wrong_counts",
                "the engine ran 32 prefill and 15 decode tokens, expected 32 and 16",
                "ask for fewer tokens: prompt and answer must fit the KV cache, and a stop token "
                "ends the answer early",
            ),
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_failure_is_the_right_row(app_phone, bundle, mode, asked, failure):
    outcome = run_once(app_phone(mode), bundle, **asked)
    assert outcome.metrics is None
    assert outcome.failure == failure


@pytest.mark.parametrize(
    ("mode", "asked", "kind", "message"),
    [
        ("killed", {}, "out_of_memory",
         "the device ran out of memory, and its system killed the engine"),
        ("segv", {}, "crashed", "the engine crashed (SIGSEGV)"),
        ("exception", {}, "crashed", f"{PACKAGE} ended with an exception"),
        ("garbage", {}, "no_result", "the app's result is no JSON object: "),
        ("wrong type", {}, "no_result", "the app's result cannot be read: "),
        ("slower than nothing", {}, "no_result",
         "the engine told a time or rate that cannot be: decode_tokens_per_s -30.5"),
        ("no time", {}, "no_result", "the engine told a time or rate that cannot be: init_ms 0"),
        ("uncounted", {}, "no_result",
         "the engine ended without telling the number of tokens of decode"),
        ("other request", {}, "no_result", "the app's result is that of the request '0123', "),
        ("no bundle", {}, "missing", "there is no files/bundles/"),
        ("cpu after all", {"delegate": "gpu"}, "not_on_gpu",
         "the GPU was asked for, but the log does not show that an accelerator for a GPU was "
         "loaded"),
    ],
)  # fmt: skip
def test_each_failure_is_of_the_right_kind(app_phone, bundle, mode, asked, kind, message):
    outcome = run_once(app_phone(mode), bundle, **asked)
    assert outcome.metrics is None
    assert outcome.failure is not None
    assert outcome.failure.kind == kind
    assert outcome.failure.message.startswith(message.replace("files/bundles", "files/bundles"))


def test_an_app_without_the_runner(app_phone, bundle):
    says = "echo 'Error: Activity not started, unable to resolve Intent { act=x }'"
    here = app_phone(commands={"am": f"[ $1 = start ] && {says} && exit 1; exit 0"})
    outcome = run_once(here, bundle)
    assert outcome.failure is not None
    assert outcome.failure.kind == "missing"
    assert outcome.failure.message == f"{PACKAGE} does not answer dev.edgegen.action.BENCH"


def test_a_phone_that_is_unplugged_is_lost(app_phone, bundle):
    here = app_phone("hangs")
    threading.Timer(3.0, here.double.reboot, [0.3]).start()
    with app.open(here.transport, here.options()) as runner:
        runner.prepare(bundle)
        outcome = runner.run(RunRequest(bundle, Workload(32, 16), timeout_s=60))
        assert outcome.failure is not None
        assert outcome.failure.kind == "device_lost"
        time.sleep(0.5)
        (here.double.root / "mode").write_text("")
        assert runner.run(RunRequest(bundle, Workload(32, 16), timeout_s=20)).failure is None


def test_an_app_that_is_not_installed(app_phone, bundle):
    here = app_phone(commands={"pm": "exit 1"})
    with pytest.raises(DeviceError) as caught:
        app.open(here.transport, here.options()).prepare(bundle)
    assert caught.value.message == f"{PACKAGE} is not installed on {here.double.serial}"
    assert caught.value.hint == "build and install it: android_demo/README.md"


def test_an_app_that_is_not_debuggable(app_phone, bundle):
    refusal = f"run-as: package not debuggable: {PACKAGE}"
    here = app_phone(commands={"run-as": f"echo '{refusal}' >&2; exit 1"})
    with pytest.raises(DeviceError) as caught:
        app.open(here.transport, here.options()).prepare(bundle)
    assert caught.value.message == (f"{PACKAGE} on {here.double.serial} cannot be read: {refusal}")
    assert caught.value.hint == (
        "install its debug build: files of an app that is not debuggable are its own"
    )


def test_a_name_that_is_no_package(app_phone):
    here = app_phone()
    with pytest.raises(DeviceError) as caught:
        app.open(here.transport, here.options(app="x; reboot"))
    assert caught.value.message == "'x; reboot' is no name of a package"


def test_a_request_is_what_the_contract_says(bundle):
    asked = RunRequest(bundle, Workload(32, 16, 8), "gpu", 4, "f32", 0xF0, 60.0, 0.2)
    text = encode_request(AppRequest.of(asked, "0a", "files/bundles/x/m.task", cold=True))
    assert json.loads(text) == {
        "protocol": "edgegen.app-runner/1",
        "id": "0a",
        "bundle": "files/bundles/x/m.task",
        "prefill_tokens": 32,
        "decode_tokens": 16,
        "depth": 8,
        "delegate": "gpu",
        "threads": 4,
        "activations": "f32",
        "cpu_mask": 240,
        "cold": True,
        "timeout_s": 60.0,
        "sample_interval_s": 0.2,
    }


def test_the_contract_s_own_examples_are_read():
    page = Path(__file__).parents[3] / "docs/reference/app-runner.md"
    asked, told = (block.partition("```")[0] for block in page.read_text().split("```json\n")[1:])
    fields = {field.name for field in dataclasses.fields(AppRequest)}
    assert set(json.loads(asked)) == fields
    result = read_result(told.encode(), "9f86d081884c7d65")
    assert result.metrics is not None
    assert result.metrics.decode_tokens_per_s == 22.4
    assert set(json.loads(told)) == {f.name for f in dataclasses.fields(AppResult)} - {"failure"}


def test_the_smallest_result():
    data = b'{"protocol": "edgegen.app-runner/1", "id": "a"}'
    assert read_result(data, "a") == AppResult(PROTOCOL, "a")


@given(st.binary(max_size=200))
def test_no_bytes_are_taken_for_a_result(data):
    with pytest.raises(ProtocolMismatch):
        read_result(data, "a")


def test_progress_is_that_of_the_request():
    log = (
        "11-23 20:15:16.1   9   9 I edgegen.bench: {\"id\": \"a\", \"state\": \"started\", "
        "\"pid\": 9}\n"
        "11-23 20:15:16.1   9   9 I edgegen.bench: {\"id\": \"b\", \"state\": \"done\"}\n"
        "11-23 20:15:16.1   9   9 I edgegen.bench: {broken}\n"
        "11-23 20:15:16.1   9   9 I edgegen.bench: {\"id\": \"a\", \"state\": \"done\"}\n"
    )  # fmt: skip
    assert progress_of(log, "a") == [Progress("a", "started", 9), Progress("a", "done")]
