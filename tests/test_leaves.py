"""Progress, metering and provenance."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from edgegen import progress
from edgegen.cli.progress_bars import ProgressBars
from edgegen.contract import prefill_length, prefill_signature
from edgegen.metering import StageMeter, peak_rss_bytes
from edgegen.provenance import hash_files, provenance_path, write_provenance

MIB = 1 << 20
SHOW_CURSOR, ERASE_LINE = "\x1b[?25h", "\x1b[2K"


class Recorder:
    def __init__(self) -> None:
        self.calls: list[object] = []

    def start(self, name: str, total: int | None, unit: str) -> progress.Advance:
        self.calls.append((name, total, unit))
        return self.calls.append

    def finish(self, name: str) -> None:
        self.calls.append(f"{name} ended")


def test_stages_reach_the_reporter_and_end_on_errors() -> None:
    recorder = Recorder()
    with progress.reporting(recorder):
        try:
            with progress.stage("weights", 10, "B") as advance:
                advance(4)
                raise KeyError
        except KeyError:
            pass
    with progress.stage("unseen") as advance:
        advance(1)

    assert recorder.calls == [("weights", 10, "B"), 4, "weights ended"]


def test_bars_of_both_kinds_may_follow_and_nest(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Drawn as on a terminal, where rich before 14.1 refuses two kinds at once."""
    for name, value in {"FORCE_COLOR": "1", "TERM": "xterm", "COLUMNS": "80"}.items():
        monkeypatch.setenv(name, value)
    with ProgressBars() as bars, progress.reporting(bars):
        with progress.stage("trace", 3, "signatures") as advance:
            advance(2)
            time.sleep(0.3)  # drawn ten times a second
        trace = capsys.readouterr().err
        with progress.stage("weights", 100, "B") as advance:
            advance(50)
            time.sleep(0.3)
            with progress.stage("inner", None):
                pass
    weights = capsys.readouterr().err

    assert re.search(r"trace .*2/3", trace)
    assert re.search(r"weights .*50/100 bytes", weights)
    assert "inner " in weights
    for drawn in (trace, weights):
        _, _, left = drawn.rpartition(ERASE_LINE)
        assert left.strip() == SHOW_CURSOR


def test_a_stages_memory_is_its_own_and_includes_children() -> None:
    grow = f"import numpy as n, time; x = n.ones({200 * MIB // 8}); time.sleep(0.5)"
    meter = StageMeter()
    with meter.measure("child"):
        subprocess.run([sys.executable, "-c", grow], check=True)
    with meter.measure("idle"):
        time.sleep(0.2)
    with meter.measure("own"):
        block = np.ones(100 * MIB // 8)
        time.sleep(0.3)
        del block
    child, idle, own = (cost.peak_memory_bytes for cost in meter.costs)

    assert child is not None
    assert idle is not None
    assert own is not None
    assert child - idle > 180 * MIB
    assert 90 * MIB < own - idle < 150 * MIB
    assert meter.costs[0].wall_s >= 0.5


def test_peak_rss_is_this_process_own() -> None:
    peak = peak_rss_bytes()
    assert peak is not None
    assert 10 * MIB < peak < os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def test_provenance_lies_beside_the_bundle(tmp_path: Path) -> None:
    bundle = tmp_path / "m.task"
    bundle.write_bytes(b"abc")
    hashes = hash_files([bundle], "hash")

    path = provenance_path(bundle)
    write_provenance(path, {"bundle_sha256": hashes["m.task"]})

    assert path == tmp_path / "m.task.provenance.json"
    record = json.loads(path.read_text())
    assert record["bundle_sha256"].startswith("ba7816bf")  # of "abc", FIPS 180-2 appendix B
    assert {"edgegen", "python", "litert-torch", "mediapipe"} <= record["tools"].keys()


def test_prefill_signatures_are_told_from_other_names() -> None:
    assert prefill_length(prefill_signature(128)) == 128
    assert prefill_length("decode") is None
    assert prefill_length("prefill_128_pixel") is None
