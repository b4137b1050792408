"""Reading what native engines write: LiteRT-LM's logs of all generations, its metrics file, and
TFLite's `benchmark_model`.

What a text does not tell stays `None`, and no number is computed that is not in it.
"""

from __future__ import annotations

from edgegen.device.engine_logs.benchmark_model import BenchmarkModelLog, parse_benchmark_model
from edgegen.device.engine_logs.engine_log import EngineLog, joined, parse_log
from edgegen.device.engine_logs.gpu import GpuEvidence
from edgegen.device.engine_logs.metrics_proto import parse_metrics_proto

__all__ = [
    "BenchmarkModelLog",
    "EngineLog",
    "GpuEvidence",
    "joined",
    "parse_benchmark_model",
    "parse_log",
    "parse_metrics_proto",
]
