from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from edgegen.bundle import Measurement, open_bundle
from edgegen.bundle.dimensions import Dimensions, read_dimensions
from edgegen.device import RUNNERS, BenchSpec, bench
from edgegen.device.benchmark import fitting_counts
from edgegen.device.runners.host import cache_folder
from edgegen.errors import BundleError, DeviceError, EngineError
from edgegen.progress import Advance, reporting
from edgegen.provenance import provenance_path

DIMENSIONS = Dimensions(
    ("decode", "prefill_16", "prefill_32", "prefill_128"), (16, 32, 128), 512, 4, 2048
)


def test_every_repeat_is_kept_with_the_counts_asked_for(demo_task: Path) -> None:
    before = datetime.now(timezone.utc)
    run = bench(demo_task, prefill_tokens=32, decode_tokens=16, repeats=3)

    assert len(run.samples) == 3
    assert (run.spec.prefill_tokens, run.spec.decode_tokens) == (32, 16)
    assert run.first_init_ms > 0
    for sample in run.samples:
        assert min(vars(sample).values()) > 0
        assert sample.peak_rss_bytes > run.bundle_bytes
    assert run.bundle == demo_task
    assert run.bundle_bytes == demo_task.stat().st_size
    assert before <= run.started_at <= datetime.now(timezone.utc)
    assert {d.signature for d in run.delegations} >= {"decode", "prefill_32"}


def test_the_default_counts_fit(demo_task: Path) -> None:
    spec = bench(open_bundle(demo_task), repeats=1).spec

    assert (spec.prefill_tokens, spec.decode_tokens) == (128, 128)


def test_progress_counts_warmup_and_kept_runs(demo_task: Path) -> None:
    class Counter:
        def start(self, name: str, total: int | None, unit: str) -> Advance:
            self.stage, self.amounts = (name, total, unit), []
            return self.amounts.append

        def finish(self, name: str) -> None:
            pass

    counter = Counter()
    with reporting(counter):
        bench(demo_task, prefill_tokens=16, decode_tokens=2, repeats=2, warmup=1)

    assert counter.stage == ("bench", 3, "runs")
    assert sum(counter.amounts) == 3


@pytest.mark.parametrize(
    ("asked", "chosen"),
    [
        ((None, None), (128, 128)),
        ((None, 400), (32, 400)),
        ((None, 500), (12, 500)),
        ((500, None), (500, 12)),
        ((511, 1), (511, 1)),
        ((8, 7), (8, 7)),
    ],
)
def test_counts_are_chosen_to_fit_the_cache_of_512(
    asked: tuple[int | None, int | None], chosen: tuple[int, int]
) -> None:
    assert fitting_counts(Path("m.task"), DIMENSIONS, *asked) == chosen


def test_a_bundles_dimensions_are_read_off_its_signatures(demo_task: Path) -> None:
    found = read_dimensions(open_bundle(demo_task))

    assert sorted(found.signatures) == sorted(DIMENSIONS.signatures)
    assert replace(found, signatures=DIMENSIONS.signatures) == DIMENSIONS


def test_broken_provenance_beside_the_bundle_stops_nothing(demo_task: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "model.task"
    bundle.write_bytes(demo_task.read_bytes())
    provenance_path(bundle).write_text("{")

    assert bench(bundle, prefill_tokens=16, decode_tokens=2, repeats=1).samples


@pytest.mark.parametrize(
    ("prefill", "decode"), [(500, 13), (512, 1), (1, 512), (9999, None), (None, 512)]
)
def test_counts_that_do_not_fit_are_refused_before_anything_runs(
    demo_task: Path, prefill: int | None, decode: int | None
) -> None:
    with pytest.raises(EngineError, match="do not fit the KV cache of 512") as caught:
        bench(demo_task, prefill_tokens=prefill, decode_tokens=decode)
    assert "at most 512 together" in str(caught.value.hint)


@pytest.mark.parametrize("lack", [{"kv_cache_len": None}, {"prefill_lens": ()}])
def test_a_model_that_is_no_language_model_is_refused(lack: dict[str, Any]) -> None:
    with pytest.raises(
        BundleError, match=r"m\.task has the signatures decode, .*, expected decode"
    ):
        fitting_counts(Path("m.task"), replace(DIMENSIONS, **lack), None, None)


def test_an_unknown_device_is_refused_with_the_known_ones(demo_task: Path) -> None:
    with pytest.raises(DeviceError, match="unknown device 'hots'") as caught:
        bench(demo_task, device="hots")
    assert "did you mean 'host'" in str(caught.value.hint)


@pytest.mark.parametrize("field", ["prefill_tokens", "decode_tokens", "repeats", "warmup"])
def test_counts_below_one_are_refused(field: str) -> None:
    counts = {"prefill_tokens": 1, "decode_tokens": 1, field: 0}
    with pytest.raises(ValueError, match=f"{field} is 0, expected >= 1"):
        BenchSpec("cpu", **counts)


@pytest.mark.parametrize("name", sorted(RUNNERS))
def test_runners_say_what_they_are(name: str) -> None:
    facts = RUNNERS[name].describe()

    assert facts.name
    assert facts.cpus >= 1
    assert facts.system.startswith("Linux")
    assert facts.engine.startswith("litert-lm 0.18")
    assert facts.memory_bytes
    assert facts.memory_bytes > 256 * 1024**2


def test_runs_on_the_host_leave_no_files(
    demo_task: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, temporary = tmp_path / "model.task", tmp_path / "tmp"
    bundle.write_bytes(demo_task.read_bytes())
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    spec = BenchSpec("cpu", prefill_tokens=16, decode_tokens=2, repeats=1)
    found: list[Measurement] = []
    for measurement in RUNNERS["host"].measurements(open_bundle(bundle), spec):
        # While it runs, the weights prepared by the first run are there for the others, on
        # the bundle's disk: the system's folder for temporary files is often in memory.
        (cache,) = tmp_path.glob(".edgegen-bench-*")
        assert any(cache.iterdir())
        assert list(temporary.iterdir()) == []
        found.append(measurement)

    assert len(found) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.task", "tmp"]


def test_a_folder_that_cannot_be_written_sends_the_cache_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with cache_folder(Path("/proc")) as cache:  # where not even root makes folders
        assert cache.parent == tmp_path
        assert cache.is_dir()

    assert list(tmp_path.iterdir()) == []
