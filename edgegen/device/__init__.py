"""Measuring bundles on devices: raw samples in, no statistics."""

from __future__ import annotations

from edgegen.device.benchmark import bench
from edgegen.device.runners import RUNNERS, Runner
from edgegen.device.samples import BenchRun, BenchSpec, DeviceFacts, Sample

__all__ = ["RUNNERS", "BenchRun", "BenchSpec", "DeviceFacts", "Runner", "Sample", "bench"]
