"""LiteRT-LM's native program on a device: scripts in its place print what it prints."""

from __future__ import annotations

import hashlib
from pathlib import Path

from edgegen.bundle.dimensions import read_dimensions
from edgegen.device.bench.record import EngineFacts
from edgegen.device.bench.workload import Workload
from edgegen.device.engine_logs.metrics_proto import metrics_class
from edgegen.device.runners import litert_lm
from edgegen.device.runners.interface import RunRequest
from edgegen.device.runners.options import RunnerOptions
from edgegen.device.sampling import read_series
from tests.device.runners.fakes import (
    GOOD_LOG,
    OLD_HELP,
    engine_folder,
    says,
)


def test_a_run_is_read_from_the_log(run):
    outcome = run(says(GOOD_LOG) + "; sleep 0.3")
    assert outcome.failure is None
    metrics = outcome.metrics
    assert metrics is not None
    assert (metrics.prefill_tokens, metrics.prefill_tokens_per_s) == (16, 19.51)
    assert (metrics.decode_tokens, metrics.decode_tokens_per_s) == (8, 10.11)
    assert (metrics.init_ms, metrics.ttft_ms) == (580.10, 920.0)
    assert outcome.log == GOOD_LOG
    assert outcome.memory.peak_rss_bytes is not None
    assert outcome.wall_s >= 0.3
    assert read_series(outcome.samples_csv).columns["time_s"]


def test_the_metrics_file_goes_before_the_log(run, tmp_path):
    message = metrics_class()()
    told = message.metrics.add(time_to_first_token_seconds=0.25, peak_mem_mb=100.0)
    told.prefill_turns.add(num_tokens=16, tokens_per_second=111.5)
    told.decode_turns.add(num_tokens=8, tokens_per_second=22.25)
    ready = tmp_path / "metrics.pb"
    ready.write_bytes(message.SerializeToString())
    outcome = run(f'{says(GOOD_LOG)}; cp {ready} "$metric_proto_file_path"')
    metrics = outcome.metrics
    assert metrics is not None
    assert (metrics.prefill_tokens_per_s, metrics.decode_tokens_per_s) == (111.5, 22.25)
    assert metrics.ttft_ms == 250.0
    assert metrics.init_ms == 580.10  # of which the file does not tell


def test_flags_are_those_that_the_program_knows(run, bundle, phone):
    here = phone()
    body = says(GOOD_LOG)
    outcome = run(body, device=here, threads=2, activations="f32", cpu_mask=1)
    link = outcome.flags[2].removeprefix("--model_path=")
    assert link.endswith(f"-cpu-f32/{bundle.path.name}")
    assert outcome.flags == (
        "taskset 1",
        "litert_lm_advanced_main",
        f"--model_path={link}",
        "--backend=cpu",
        "--benchmark",
        "--benchmark_prefill_tokens=16",
        "--benchmark_decode_tokens=8",
        "--metric_proto_file_path=metrics.pb",
        "--report_peak_memory_footprint=true",
        "--min_log_severity=0",
        f"--max_num_tokens={read_dimensions(bundle).kv_cache_len}",
        "--num_cpu_threads=2",
        "--force_f32=true",
    )


def test_an_older_program_gets_no_flags_that_it_does_not_know(run):
    outcome = run(says(GOOD_LOG), help_text=OLD_HELP, name="litert_lm_main")
    assert outcome.metrics is not None
    assert outcome.flags[0] == "litert_lm_main"
    assert not [flag for flag in outcome.flags if "metric_proto" in flag or "min_log" in flag]


def test_the_libraries_are_found_and_cpus_pinned(run):
    body = (
        'echo "path $LD_LIBRARY_PATH"; ls "$LD_LIBRARY_PATH"; taskset -p $$; '
        'test -x "$0" && echo executable; head -c 8 "$model_path" | wc -c; ' + says(GOOD_LOG)
    )
    outcome = run(body, cpu_mask=1)
    assert outcome.metrics is not None
    assert "libFake.so\nlitert_lm_advanced_main\n" in outcome.log
    assert "affinity mask: 1\n" in outcome.log
    assert "executable\n8\n" in outcome.log


def test_the_engine_is_told_by_the_hashes_of_its_files(phone, bundle, tmp_path):
    here = phone()
    engines = engine_folder(tmp_path / "engines", says(GOOD_LOG))
    with litert_lm.open(here.transport, here.options(engine_dir=engines)) as runner:
        runner.prepare(bundle)
        assert runner.engine() == EngineFacts(
            runner="litert-lm",
            name="litert_lm_advanced_main",
            files_sha256={
                path.name: hashlib.sha256(path.read_bytes()).hexdigest()
                for path in engines.iterdir()
            },
        )
        assert runner.device()["model"] == "Double 1"
        assert runner.conditions().thermal_status_before == "none"


def test_a_part_that_was_not_asked_for_is_not_told_of(run):
    one = GOOD_LOG.replace("Processed 8 ", "Processed 1 ")
    outcome = run(says(one), workload=Workload(16, 0))
    assert outcome.metrics is not None
    assert "--benchmark_decode_tokens=1" in outcome.flags
    assert (outcome.metrics.prefill_tokens, outcome.metrics.decode_tokens) == (16, None)
    assert outcome.metrics.decode_tokens_per_s is None
    assert outcome.metrics.ttft_ms is None


def test_a_cold_run_finds_nothing_prepared_and_a_warm_one_does(phone, bundle, tmp_path):
    body = f'ls "${{model_path%/*}}"; : >"$model_path.xnnpack_cache"; {says(GOOD_LOG)}'
    here = phone()
    engines = engine_folder(tmp_path / "engines", body)
    with litert_lm.open(here.transport, here.options(engine_dir=engines)) as runner:
        runner.prepare(bundle)
        request = RunRequest(bundle, Workload(16, 8), timeout_s=30)
        seen = []
        for cold in (True, False, True):
            if cold:
                runner.drop_caches()
            seen.append("xnnpack_cache" in runner.run(request).log)
        assert seen == [False, True, False]
        assert here.work.exists()
    assert not here.work.exists()
    pushed = list((Path(here.folder) / "bundles").glob("*/*"))
    assert [path.name for path in pushed] == [bundle.path.name]  # for the next benchmark


def test_it_runs_in_the_folder_of_android(phone, bundle, tmp_path):
    here = phone()
    engines = engine_folder(tmp_path / "engines", says(GOOD_LOG))
    with litert_lm.open(here.transport, RunnerOptions(engine_dir=engines)) as runner:
        runner.prepare(bundle)
        assert runner.run(RunRequest(bundle, Workload(16, 8), timeout_s=30)).failure is None
    assert sorted(path.name for path in Path(here.folder).iterdir()) == ["bundles", "engines"]


def test_the_bundle_is_pushed_once(phone, bundle, tmp_path):
    here = phone()
    engines = engine_folder(tmp_path / "engines", says(GOOD_LOG))
    inodes = set()
    for _ in range(2):
        with litert_lm.open(here.transport, here.options(engine_dir=engines)) as runner:
            runner.prepare(bundle)
        [path] = (Path(here.folder) / "bundles").glob("*/*")
        inodes.add(path.stat().st_ino)
    assert len(inodes) == 1
