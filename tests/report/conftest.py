from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import pytest

from edgegen.bundle import Delegation
from edgegen.device import BenchRun, BenchSpec, DeviceFacts, Sample


@pytest.fixture
def run() -> BenchRun:
    """A benchmark with round numbers."""
    return BenchRun(
        bundle=Path("some/folder/model.task"),
        bundle_bytes=3 * 1024**2,
        device=DeviceFacts("Processor 9", 8, 16 * 1024**3, "Linux 6.1", "litert-lm 0.18.1"),
        spec=BenchSpec("cpu", prefill_tokens=128, decode_tokens=64, repeats=3, threads=4),
        started_at=datetime(2026, 11, 23, 12, 0, 0, 500, tzinfo=timezone.utc),
        first_init_ms=250.0,
        samples=tuple(
            Sample(
                init_ms=90.0 + i,
                ttft_ms=12.5 + i,
                prefill_tokens_per_s=2000.0 + 100 * i,
                decode_tokens_per_s=50.0 + i,
                peak_rss_bytes=(100 + i) * 1024**2,
            )
            for i in range(3)
        ),
        delegations=(Delegation("TfLiteXNNPackDelegate", 113, 126, 6, "decode"),),
        gpu_adapter=None,
    )
