"""LiteRT-LM's native program on a device: what goes wrong, and what it cannot do."""

from __future__ import annotations

import threading
import time

import pytest

from edgegen.device.bench.workload import Workload
from edgegen.device.runners import litert_lm
from edgegen.device.runners.interface import RunRequest
from edgegen.device.runners.options import RunnerOptions
from edgegen.device.transports.failures import CancelledError
from edgegen.errors import DeviceError
from tests.device.engine_logs import samples
from tests.device.runners.fakes import (
    GOOD_LOG,
    OLD_HELP,
    SIMPLE_HELP,
    engine_folder,
    says,
)


def test_other_counts_than_asked_for_do_not_count(run):
    outcome = run(says(GOOD_LOG.replace("Processed 8 ", "Processed 5 ")))
    assert outcome.metrics is None
    assert outcome.failure is not None
    assert outcome.failure.kind == "wrong_counts"
    assert outcome.failure.message == (
        "the engine ran 16 prefill and 5 decode tokens, expected 16 and 8"
    )


def test_a_release_that_tells_no_counts_is_said(run):
    outcome = run(says(samples.OLDEST))
    assert outcome.failure is None
    assert outcome.metrics is not None
    assert (outcome.metrics.prefill_tokens, outcome.metrics.decode_tokens) == (None, None)
    why = "this release of the engine does not tell how many tokens it ran"
    assert outcome.missing["prefill_tokens"] == why
    assert outcome.missing["decode_tokens"] == why


def test_a_run_that_computed_nothing_is_no_result(run):
    outcome = run(says(samples.NOTHING))
    assert outcome.failure is not None
    assert outcome.failure.kind == "no_result"
    assert outcome.failure.message == (
        "the engine ended without telling a rate of prefill and decode"
    )


def test_garbage_is_no_result_and_bounded(run):
    outcome = run("head -c 4000000 /dev/urandom; exit 0", timeout_s=60)
    assert outcome.failure is not None
    assert outcome.failure.kind == "no_result"
    assert outcome.failure.message == "the engine ended without telling its times"
    assert "bytes left out]" in outcome.log


@pytest.mark.parametrize(
    ("number", "kind", "message"),
    [
        (
            "KILL",
            "crashed",
            "the engine was killed by SIGKILL; nothing shows that memory ran out",
        ),
        ("SEGV", "crashed", "the engine was killed by SIGSEGV; the last of its log:\n  loading"),
        ("ABRT", "crashed", "the engine was killed by SIGABRT; the last of its log:\n  loading"),
        ("ILL", "crashed", "the engine uses instructions that this processor does not have"),
    ],
)
def test_a_crash_is_a_failure_with_its_signal(run, number, kind, message):
    outcome = run(f"echo loading; kill -{number} $$; sleep 5")
    assert outcome.failure is not None
    assert (outcome.failure.kind, outcome.failure.message) == (kind, message)
    assert outcome.log.startswith("loading\n")


LOGCAT = r"""case " $* " in *" -d "*) ;; *) exec sleep 600;; esac
pid=$(cat {pid})
echo "11-23 20:15:16.100  1  1 I lowmemorykiller: Kill 'com.android.camera2' ($pid), uid 10010"
echo "11-23 20:15:16.200  $pid  $pid E tflite  : a word of the engine"
echo "11-23 20:15:16.200  77  77 E chatter  : a word of another"
"""


def test_a_kill_for_memory_is_told_by_logcat(phone, run, tmp_path):
    root = tmp_path / "phone"
    pid = root / "data/local/tmp/edgegen/bench/run.pid"
    here = phone({"logcat": LOGCAT.format(pid=pid)})
    outcome = run("kill -KILL $$", device=here)
    assert outcome.failure is not None
    assert outcome.failure.kind == "out_of_memory"
    assert outcome.failure.message == (
        "the device ran out of memory, and its system killed the engine"
    )
    assert "lowmemorykiller: Kill 'com.android.camera2'" in outcome.failure.excerpt
    assert "chatter" not in outcome.failure.excerpt


def test_a_tombstone_that_can_be_read_tells_where_it_crashed(phone, run):
    here = phone({"find": 'echo "$HOME/tombstone_01"'})
    (here.double.root / "tombstone_01").write_text(
        "signal 11 (SIGSEGV), code 1 (SEGV_MAPERR), fault addr 0x0\n"
        "      #00 pc 0000000000171d04  /data/local/tmp/libLiteRtOpenClAccelerator.so\n"
    )
    outcome = run("kill -SEGV $$", device=here)
    assert outcome.failure is not None
    assert outcome.failure.message == (
        "the engine crashed (SIGSEGV) in libLiteRtOpenClAccelerator.so"
    )
    assert "fault addr 0x0" in outcome.failure.excerpt


def test_a_device_without_taskset_is_said(phone, run):
    outcome = run(says(GOOD_LOG), device=phone(missing=("taskset",)), cpu_mask=1)
    assert outcome.failure is not None
    assert outcome.failure.kind == "unsupported"
    assert outcome.failure.message == "the device cannot pin a program to these CPUs"


def test_an_engine_that_hangs_is_ended(run):
    began = time.monotonic()
    outcome = run("echo loading; exec sleep 600", timeout_s=2.0)
    assert time.monotonic() - began < 25
    assert outcome.failure is not None
    assert outcome.failure.kind == "timed_out"
    assert outcome.failure.message == "the engine was not done after 2 s and was ended"
    assert outcome.log.startswith("loading\n")


def test_an_engine_that_hangs_is_ended_even_if_its_samples_are_left_out(run, monkeypatch):
    monkeypatch.setattr("edgegen.device.runners.on_device._CSV_BYTES", 100)
    outcome = run("echo loading; exec sleep 600", timeout_s=2.0)
    assert outcome.failure is not None
    assert outcome.failure.kind == "timed_out"
    assert outcome.missing["samples"] == ("the file of samples is not there, or larger than 32 MiB")


def test_a_status_of_the_engine_s_own_is_no_timeout(run):
    outcome = run("echo bye; exit 124")
    assert outcome.failure is not None
    assert (outcome.failure.kind, outcome.failure.message) == (
        "refused",
        "the engine failed: it ended with status 124; the last of its log:\n  bye",
    )


def test_graphs_without_names_must_be_all_of_the_bundle(run):
    outcome = run(says(samples.GPU_UNNAMED + GOOD_LOG), delegate="gpu")  # which has four
    assert outcome.failure is not None
    assert (outcome.failure.kind, outcome.failure.message) == (
        "not_on_gpu",
        "the GPU was asked for, but the GPU did not take prefill and decode whole: a graph: "
        "LITERT_CL 796/796; a graph: LITERT_CL 782/782",
    )


def test_a_long_silence_is_no_dead_connection(phone, bundle, tmp_path):
    here = phone()
    here.transport.silence_s = 1.0
    engines = engine_folder(tmp_path / "engines", f"sleep 3; {says(GOOD_LOG)}")
    with litert_lm.open(here.transport, here.options(engine_dir=engines)) as runner:
        runner.prepare(bundle)
        outcome = runner.run(RunRequest(bundle, Workload(16, 8), timeout_s=30))
    assert outcome.failure is None


def test_a_device_that_is_unplugged_is_lost_and_the_next_run_goes_on(phone, bundle, tmp_path):
    here = phone()
    engines = engine_folder(
        tmp_path / "engines", f"echo loading; [ -e {tmp_path}/slow ] && sleep 20; {says(GOOD_LOG)}"
    )
    (tmp_path / "slow").touch()
    with litert_lm.open(here.transport, here.options(engine_dir=engines)) as runner:
        runner.prepare(bundle)
        request = RunRequest(bundle, Workload(16, 8), timeout_s=60)
        threading.Timer(2.0, here.double.reboot, [0.3]).start()
        outcome = runner.run(request)
        assert outcome.failure is not None
        assert outcome.failure.kind == "device_lost"
        assert outcome.failure.message.startswith(f"lost the connection to {here.double.serial}: ")
        assert outcome.log == "loading\n"
        (tmp_path / "slow").unlink()
        time.sleep(0.5)
        assert runner.run(request).failure is None


def test_a_push_that_is_cancelled_ends(phone, bundle, tmp_path):
    here = phone()
    engines = engine_folder(tmp_path / "engines", "")
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(CancelledError):
        litert_lm.open(here.transport, here.options(engine_dir=engines, cancel=cancel)).prepare(
            bundle
        )


def test_a_run_that_is_cancelled_ends(phone, bundle, tmp_path):
    here = phone()
    engines = engine_folder(tmp_path / "engines", "sleep 60")
    cancel = threading.Event()
    with litert_lm.open(here.transport, here.options(engine_dir=engines)) as runner:
        runner.prepare(bundle)
        threading.Timer(1.0, cancel.set).start()
        with pytest.raises(CancelledError):
            runner.run(RunRequest(bundle, Workload(16, 8), cancel=cancel))


GPU_LOG = samples.GPU + GOOD_LOG


def test_a_gpu_that_computed_is_recorded_with_its_evidence(run):
    outcome = run(says(GPU_LOG), delegate="gpu")
    assert outcome.failure is None
    assert outcome.gpu_adapter == "GPU OpenCL"
    assert {(d.delegate, d.signature) for d in outcome.delegations} == {
        ("LITERT_CL", "decode"),
        ("LITERT_CL", "prefill_1024"),
    }


@pytest.mark.parametrize(
    ("log", "kind", "message"),
    [
        (GOOD_LOG, "not_on_gpu", "the GPU was asked for, but the log does not show that an "
         "accelerator for a GPU was loaded"),
        (samples.GPU_REFUSED + GOOD_LOG, "not_on_gpu",
         "the engine finds no library for the GPU"),
        (samples.GPU_PARTIAL + GOOD_LOG, "refused",
         "the GPU delegate refuses this model: CAST: Not supported Cast case.; GATHER_ND: "
         "Operation is not supported."),
    ],
)  # fmt: skip
def test_a_cpu_number_never_passes_as_one_of_the_gpu(run, log, kind, message):
    outcome = run(says(log), delegate="gpu")
    assert outcome.metrics is None
    assert outcome.failure is not None
    assert (outcome.failure.kind, outcome.failure.message) == (kind, message)


def test_evidence_of_the_gpu_may_stand_in_logcat_alone(phone, run, tmp_path):
    pid = tmp_path / "phone/data/local/tmp/edgegen/bench/run.pid"
    lines = "".join(
        f'echo "11-23 20:15:16.200  $pid  $pid I tflite  : {line}"\n'
        for line in samples.GPU.replace("\\\n", "").splitlines()
    )
    logcat = f'case " $* " in *" -d "*) ;; *) exec sleep 600;; esac\npid=$(cat {pid})\n{lines}'
    outcome = run(says(GOOD_LOG), delegate="gpu", device=phone({"logcat": logcat}))
    assert outcome.failure is None
    assert len(outcome.delegations) == 2


@pytest.mark.parametrize(
    ("options", "asked", "message"),
    [
        (
            {"help_text": SIMPLE_HELP, "name": "litert_lm_main"},
            {},
            "litert_lm_main has no flag --benchmark: it runs a prompt of text, and no number of "
            "tokens",
        ),
        (
            {},
            {"workload": Workload(16, 8, 64)},
            "litert_lm_advanced_main cannot measure behind a context (pp16+tg8@d64)",
        ),
        (
            {"help_text": OLD_HELP},
            {"threads": 2},
            "litert_lm_advanced_main has no flag --num_cpu_threads",
        ),
        (
            {"help_text": OLD_HELP},
            {"activations": "f32"},
            "litert_lm_advanced_main has no flag --force_f32",
        ),
        (
            {},
            {"activations": "f16"},
            "litert_lm_advanced_main cannot be told to compute in float16 on the CPU",
        ),
    ],
)
def test_what_it_cannot_do_is_said(run, options, asked, message):
    outcome = run("exit 9", **options, **asked)
    assert outcome.failure is not None
    assert (outcome.failure.kind, outcome.failure.message) == ("unsupported", message)


def test_no_engine_is_said(phone, bundle, tmp_path):
    here = phone()
    with pytest.raises(DeviceError) as caught:
        litert_lm.open(here.transport, RunnerOptions(folder=here.folder)).prepare(bundle)
    assert caught.value.message == "no engine was named for the device"
    assert caught.value.hint == (
        "pass --engine-dir FOLDER with litert_lm_advanced_main and its .so files; "
        "docs/how-to/bench-on-a-phone.md says where Google publishes it"
    )
    with pytest.raises(DeviceError) as caught:
        litert_lm.open(here.transport, here.options(engine_dir=tmp_path)).prepare(bundle)
    assert caught.value.message == (
        f"{tmp_path} holds no litert_lm_advanced_main or litert_lm_main"
    )


def test_an_engine_for_another_processor_is_refused_here(phone, bundle, tmp_path):
    here = phone()
    engines = engine_folder(tmp_path / "engines", "")
    elf = b"\x7fELF\x02\x01\x01".ljust(18, b"\0") + (62).to_bytes(2, "little")
    (engines / "litert_lm_advanced_main").write_bytes(elf)
    with pytest.raises(DeviceError) as caught:
        litert_lm.open(here.transport, here.options(engine_dir=engines)).prepare(bundle)
    assert caught.value.message == (
        "litert_lm_advanced_main is built for x86_64, but the device runs arm64-v8a, "
        "armeabi-v7a, armeabi"
    )


def test_an_engine_that_lacks_a_library_is_said_with_its_name(phone, bundle, tmp_path):
    here = phone()
    line = (
        'CANNOT LINK EXECUTABLE "./litert_lm_advanced_main": library '
        '"libGemmaModelConstraintProvider.so" not found: needed by main executable'
    )
    engines = engine_folder(tmp_path / "engines", "", help_text=line)
    with pytest.raises(DeviceError) as caught:
        litert_lm.open(here.transport, here.options(engine_dir=engines)).prepare(bundle)
    assert caught.value.message == (
        f"litert_lm_advanced_main does not start on {here.double.serial}: the engine needs "
        "libGemmaModelConstraintProvider.so, which is not beside it"
    )
    assert caught.value.hint is not None
    assert "prebuilt/android_arm64" in caught.value.hint
