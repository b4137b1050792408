"""The host's runner against the real engine, and against engines that fail in known ways."""

from __future__ import annotations

import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edgegen import bench, demo
from edgegen.bundle import SentencePieceTokenizer, engine_process, open_bundle
from edgegen.device.bench.record import Failure
from edgegen.device.bench.workload import parse_workload
from edgegen.device.runners import open_runner
from edgegen.device.runners.host import HostRunner
from edgegen.device.runners.host_cache import cache_folder
from edgegen.device.runners.interface import RunOutcome, RunRequest
from edgegen.device.sampling import read_series
from edgegen.device.transports.failures import CancelledError
from edgegen.pipeline import build
from tests.bundle.conftest import train_tokenizer
from tests.bundle.doctor import plants
from tests.bundle.doctor.conftest import converted  # noqa: F401 - a fixture
from tests.bundle.doctor.models import Made
from tests.bundle.test_engine import children
from tests.processes import wait_for

SCRIPT = (
    "import sys, time; fd, *sys.path[:] = sys.argv[1:]; "
    "from edgegen.bundle import engine_child; "
    "engine_child._ACTIONS['measure'] = lambda request, answer: {what}; "
    "engine_child.main(int(fd))"
)
HANGS = SCRIPT.format(what="(print('I am stuck', flush=True), time.sleep(600))")


@pytest.fixture
def runner() -> Iterator[HostRunner]:
    with HostRunner() as opened:
        yield opened


def request(bundle: Path, test: str = "pp16+tg4", **more: object) -> RunRequest:
    asked = RunRequest(open_bundle(bundle), parse_workload(test), timeout_s=120)
    return replace(asked, **more)  # type: ignore[arg-type]


def failure(outcome: RunOutcome) -> Failure:
    assert outcome.metrics is None
    assert outcome.failure is not None
    assert children() == []
    return outcome.failure


def test_a_run_tells_what_was_run_and_what_it_took(runner: HostRunner, demo_task: Path) -> None:
    outcome = runner.run(request(demo_task, "pp33+tg100", threads=1, sample_interval_s=0.02))

    assert outcome.failure is None
    assert outcome.metrics is not None
    assert (outcome.metrics.prefill_tokens, outcome.metrics.decode_tokens) == (33, 100)
    assert (outcome.memory.peak_rss_bytes or 0) > demo_task.stat().st_size
    assert 0 < outcome.wall_s < 60
    assert {d.signature for d in outcome.delegations} >= {"decode", "prefill_32"}
    assert "threads=1" in outcome.flags
    assert "XNNPACK" in outcome.log
    assert len(read_series(outcome.samples_csv).columns["time_s"]) > 2


def test_caches_are_cold_once_and_warm_after(demo_task: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "model.task"
    bundle.write_bytes(demo_task.read_bytes())
    with HostRunner() as runner:
        runner.prepare(open_bundle(bundle))
        # On the bundle's disk: the system's folder for temporary files is often in memory.
        (cache,) = tmp_path.glob(".edgegen-bench-*")
        assert list(cache.iterdir()) == []
        runner.run(request(bundle))
        assert any(cache.iterdir())
        runner.drop_caches()
        assert list(cache.iterdir()) == []
        runner.run(request(bundle))
        assert any(cache.iterdir())
    assert [path.name for path in tmp_path.iterdir()] == ["model.task"]


def test_a_folder_that_cannot_be_written_sends_the_cache_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with cache_folder(Path("/proc")) as cache:  # where not even root makes folders
        assert cache.parent == tmp_path
        assert cache.is_dir()

    assert list(tmp_path.iterdir()) == []


def test_an_engine_that_is_killed_is_a_failure(runner: HostRunner, demo_task: Path) -> None:
    killed: list[int] = []

    def kill() -> None:
        assert wait_for(lambda: bool(children()))
        time.sleep(0.2)  # it is loading or computing
        killed.extend(children())
        os.kill(killed[0], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    outcome = runner.run(request(demo_task, "pp128+tg380"))
    killer.join()

    found = failure(outcome)
    assert killed
    assert found.kind == "crashed"
    assert found.message == (
        "the engine was killed by SIGKILL; not by the kernel for want of memory, which counts no "
        "such kill"
    )
    assert found.hint == "somebody or something ended it: run it again"
    assert outcome.wall_s > 0
    assert runner.run(request(demo_task)).failure is None  # and the next one runs


def test_an_engine_that_hangs_is_ended_in_time(
    runner: HostRunner, demo_task: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_process, "_START_CHILD", HANGS)
    outcome = runner.run(request(demo_task, timeout_s=1.0))

    found = failure(outcome)
    assert (found.kind, found.message, found.hint) == (
        "timed_out",
        "the engine was not done after 1 s and was ended",
        "allow more time, or ask for fewer tokens",
    )
    assert found.excerpt == "  I am stuck"
    assert "I am stuck" in outcome.log
    assert 1 <= outcome.wall_s < 20


@pytest.mark.parametrize(
    ("script", "kind", "message"),
    [
        (
            "import os, sys; os.write(int(sys.argv[1]), b'%&/()\\n')",
            "no_result",
            "the engine's process answered with what is no answer: '%&/()'",
        ),
        (
            SCRIPT.format(what="answer({'done': {'init_ms': 1}})"),
            "no_result",
            "the engine's process answered with what is no answer: '{\"init_ms\": 1}'",
        ),
        (
            SCRIPT.format(what="print('bye')"),
            "no_result",
            "the engine failed: it ended with status 0; the last of its log:\n  bye",
        ),
        (
            SCRIPT.format(what="__import__('os').abort()"),
            "crashed",
            "the engine was killed by SIGABRT; the last of its log:\n",
        ),
        (
            SCRIPT.format(what="{}['x']"),
            "refused",
            "the engine failed: KeyError: 'x'; the last of its log:\n",
        ),
        (
            SCRIPT.format(
                what="answer({'done': dict(init_ms=1.0, ttft_ms=1.0, prefill_tokens=16, "
                "prefill_tokens_per_s=1.0, decode_tokens=0, decode_tokens_per_s=0.0, "
                "peak_rss_bytes=1)})"
            ),
            "wrong_counts",
            "the engine ran 16 prefill and 0 decode tokens, expected 16 and 4",
        ),
        (
            SCRIPT.format(
                what="answer({'done': dict(init_ms=1.0, ttft_ms=1.0, prefill_tokens=16, "
                "prefill_tokens_per_s=1.0, decode_tokens=4, decode_tokens_per_s=0.0, "
                "peak_rss_bytes=1)})"
            ),
            "no_result",
            "the engine reported a time or rate that cannot be: (1.0, 1.0, 0.0, 1.0)",
        ),
    ],
    ids=["garbage", "half", "nothing", "abort", "exception", "no tokens", "no rate"],
)
def test_engines_that_fail_are_failures(
    runner: HostRunner,
    demo_task: Path,
    monkeypatch: pytest.MonkeyPatch,
    script: str,
    kind: str,
    message: str,
) -> None:
    monkeypatch.setattr(engine_process, "_START_CHILD", script)
    found = failure(runner.run(request(demo_task)))

    assert (found.kind, found.message) == (kind, message)
    assert found.hint


def test_counts_that_the_engine_cuts_are_a_failure(runner: HostRunner, demo_task: Path) -> None:
    found = failure(runner.run(request(demo_task, "pp500+tg13")))

    assert found.kind == "wrong_counts"
    assert found.message == "the engine ran 500 prefill and 12 decode tokens, expected 500 and 13"


def test_a_bundle_that_is_gone_is_a_failure(
    runner: HostRunner, demo_task: Path, tmp_path: Path
) -> None:
    bundle = tmp_path / "model.task"
    bundle.write_bytes(demo_task.read_bytes())
    asked = request(bundle)
    bundle.unlink()
    found = failure(runner.run(asked))

    assert found.kind == "refused"
    assert str(bundle) in found.message


def test_cpus_that_are_not_there_are_a_failure(runner: HostRunner, demo_task: Path) -> None:
    found = failure(runner.run(request(demo_task, cpu_mask=1 << 900)))

    assert found.kind == "unsupported"
    assert found.message == f"none of the CPUs of the mask {1 << 900:x} can be used here"


def test_a_mask_that_is_there_in_part_is_a_failure(runner: HostRunner, demo_task: Path) -> None:
    cpu = min(os.sched_getaffinity(0))
    mask = 1 << 900 | 1 << cpu
    found = failure(runner.run(request(demo_task, cpu_mask=mask)))

    assert found.kind == "unsupported"
    assert found.message == f"of the mask {mask:x} only {1 << cpu:x} can be used here"


def test_a_run_that_is_not_wanted_any_more_ends(
    runner: HostRunner, demo_task: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_process, "_START_CHILD", HANGS)
    cancel = threading.Event()
    asked = request(demo_task, cancel=cancel)
    began = time.monotonic()
    threading.Timer(0.5, cancel.set).start()
    with pytest.raises(CancelledError):
        runner.run(asked)
    assert time.monotonic() - began < 5
    assert children() == []


def test_the_host_says_what_it_is() -> None:
    with open_runner("host", None) as runner:
        engine, device = runner.engine(), runner.device()

    assert engine.version is not None
    assert engine.version.startswith("0.18")
    assert set(engine.files_sha256) == {"liblitert-lm.so"}
    assert device["serial"] == "local"
    assert device["model"]
    assert device["ram_total_bytes"] > 256 * 1024**2


def test_a_benchmark_from_the_command_line_goes_on_after_ctrl_c(
    demo_task: Path, tmp_path: Path
) -> None:
    out = tmp_path / "a"
    words = [str(demo_task), "-p", "64", "-n", "64", "--repeats", "40", "--out", str(out)]
    rows = out / "records.jsonl"

    def count() -> int:
        return rows.read_bytes().count(b"\n") if rows.is_file() else 0

    with subprocess.Popen(
        [sys.executable, "-m", "edgegen", "bench", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert wait_for(lambda: count() >= 4, 60)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGINT
    assert err == (
        f"note: what was measured is in {out}; the same command goes on with it\n"
        "error: interrupted\n"
        "hint: nothing was left half-written; run the command again\n"
    )
    assert children(process.pid) == []
    before = [json.loads(line) for line in rows.read_text().splitlines()]
    assert 4 <= len(before) < 40

    records = bench(demo_task, prefill_tokens=64, decode_tokens=64, repeats=40, out=out)
    assert [record.index for record in records] == list(range(len(records)))
    assert sum(record.phase == "kept" for record in records) == 40
    assert sum(record.phase == "cold" for record in records) == 1
    assert sum(record.phase == "warmup" for record in records) == 2
    assert all(record.failure is None for record in records)


def test_a_benchmark_that_is_killed_leaves_whole_rows_and_no_engine(
    demo_task: Path, tmp_path: Path
) -> None:
    rows = tmp_path / "a" / "records.jsonl"
    script = (
        f"from edgegen import bench; bench({str(demo_task)!r}, tests='pp64', repeats=40, "
        f"out={str(tmp_path / 'a')!r})"
    )
    with subprocess.Popen([sys.executable, "-c", script]) as process:
        assert wait_for(lambda: rows.is_file() and rows.read_bytes().count(b"\n") >= 3, 60)
        engines = children(process.pid)
        process.kill()
    assert wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in engines))
    for line in rows.read_text().splitlines():
        assert json.loads(line)["workload"] == "pp64"


@pytest.mark.gpu
@pytest.mark.usefixtures("software_gpu")
def test_a_gpu_run_is_told_as_such_with_its_proof(runner: HostRunner, demo_task: Path) -> None:
    outcome = runner.run(request(demo_task, delegate="gpu"))

    assert outcome.failure is None
    assert "SwiftShader" in str(outcome.gpu_adapter)
    assert outcome.delegations
    assert {d.delegate for d in outcome.delegations} == {"LITERT_WEBGPU"}
    assert all(d.nodes_delegated == d.nodes_total for d in outcome.delegations)


@pytest.mark.gpu
@pytest.mark.usefixtures("software_gpu")
def test_a_bundle_that_cannot_delegate_is_a_row_with_the_refused_operations(
    tmp_path: Path,
    converted: Callable[[Made], Path],  # noqa: F811
) -> None:
    model = converted(Made(prefill_lens=(8,), gathered_mask=True))
    tokenizer = SentencePieceTokenizer(Path("tokenizer.model"), train_tokenizer())
    bundle = plants.bundle(model, tokenizer, tmp_path / "small.task")
    records = bench(bundle, delegate=("gpu", "cpu"), tests="pp8+tg4", repeats=1)

    on_gpu = [record for record in records if record.delegate == "gpu"]
    assert len(on_gpu) == 1  # not tried again
    (row,) = on_gpu
    assert row.metrics is None
    assert row.failure is not None
    assert row.failure.kind == "refused"
    assert row.failure.message == (
        "the GPU delegate refuses this model: GATHER_ND: Operation is not supported."
    )
    assert [r.failure for r in records if r.delegate == "cpu"] == [None, None, None]


@pytest.mark.gpu
@pytest.mark.usefixtures("software_gpu")
def test_a_gpu_that_is_not_there_is_a_failure(
    runner: HostRunner, demo_task: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("VK_DRIVER_FILES", str(tmp_path / "none.json"))
    monkeypatch.setenv("VK_ICD_FILENAMES", str(tmp_path / "none.json"))
    found = failure(runner.run(request(demo_task, delegate="gpu")))

    assert found.kind == "refused"
    assert found.message.startswith("the GPU delegate finds no GPU on this machine")


def test_a_silent_fallback_to_the_cpu_is_a_failure(
    runner: HostRunner, demo_task: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = (
        "answer({'done': dict(init_ms=1.0, ttft_ms=1.0, prefill_tokens=16, "
        "prefill_tokens_per_s=1.0, decode_tokens=4, decode_tokens_per_s=1.0, peak_rss_bytes=1)})"
    )
    monkeypatch.setattr(engine_process, "_START_CHILD", SCRIPT.format(what=done))
    found = failure(runner.run(request(demo_task, delegate="gpu")))

    assert found.kind == "not_on_gpu"
    assert found.message == (
        "the engine was asked to use the GPU but its log does not show that the GPU ran prefill "
        "and decode; it shows: no delegate at all"
    )


def of_megabytes(folder: Path, layers: int) -> Path:
    """Make a bundle of 67 MB for each layer, its weights drawn at random."""
    import torch
    from safetensors.torch import load_file, save_file

    hidden, intermediate, heads = 2048, 8192, 16
    checkpoint = folder / f"{layers}-layers"
    shutil.copytree(demo.CHECKPOINT, checkpoint)
    config = json.loads((checkpoint / "config.json").read_text())
    sizes = {
        "hidden_size": hidden,
        "intermediate_size": intermediate,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": heads,
        "head_dim": hidden // heads,
    }
    (checkpoint / "config.json").write_text(json.dumps({**config, **sizes}))
    stored = load_file(checkpoint / "model.safetensors")
    widths = {config["hidden_size"]: hidden, config["intermediate_size"]: intermediate}
    weights = {}
    for name, tensor in stored.items():
        if ".layers." in name and ".layers.0." not in name:
            continue
        shape = [widths.get(size, size) for size in tensor.shape]
        if "_proj" in name and "self_attn" in name:
            shape = [hidden, hidden]
        for layer in range(layers if ".layers.0." in name else 1):
            key = name.replace(".layers.0.", f".layers.{layer}.")
            weights[key] = 0.02 * torch.randn(*shape, dtype=torch.bfloat16)
    save_file(weights, checkpoint / "model.safetensors")
    made = build(checkpoint, folder / f"{layers}.task", prefill_lens=(16,), kv_cache_len=64)
    shutil.rmtree(checkpoint)
    return made.bundle.path


@pytest.mark.slow
def test_the_peak_of_a_model_of_twice_the_size_is_higher_by_as_much(tmp_path: Path) -> None:
    small, large = of_megabytes(tmp_path, 3), of_megabytes(tmp_path, 6)
    records = bench([small, large], tests="pp16+tg16", repeats=3)

    peaks: dict[str, list[int]] = {}
    for record in records:
        assert record.failure is None
        if record.phase == "kept":
            peaks.setdefault(record.bundle.name, []).append(record.memory.peak_rss_bytes or 0)
    by_construction = large.stat().st_size - small.stat().st_size
    assert 195e6 < by_construction < 210e6
    grown = statistics.median(peaks["6.task"]) - statistics.median(peaks["3.task"])
    assert grown == pytest.approx(by_construction, rel=0.1)
