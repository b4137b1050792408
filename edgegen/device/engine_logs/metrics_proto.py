"""LiteRT-LM's metrics file, which `--metric_proto_file_path` has it write.

The descriptor is made here from the names and numbers of `litert_lm_metrics.proto`; reading the
wire is protobuf's own work.
"""

from __future__ import annotations

import functools
import math
from typing import Any

from edgegen.device.bench.record import Memory, Metrics
from edgegen.device.engine_logs.engine_log import EngineLog
from edgegen.device.engine_logs.numbers import mib, positive

_MOST_BYTES = 4 * 1024**2
_PACKAGE = "litert.lm.proto"
_DOUBLE, _FLOAT, _INT64, _INT32, _STRING, _MESSAGE = 1, 2, 3, 5, 9, 11
_OPTIONAL, _REPEATED = 1, 3

# Message: fields as (name, number, type, label, type's name). Counts are int32 or int64 on the
# wire alike.
_MESSAGES: dict[str, tuple[tuple[str, int, int, int, str], ...]] = {
    "BenchmarkParams": (
        ("num_prefill_tokens", 1, _INT64, _OPTIONAL, ""),
        ("num_decode_tokens", 2, _INT64, _OPTIONAL, ""),
    ),
    "BenchmarkTurnData": (
        ("duration_us", 1, _INT64, _OPTIONAL, ""),
        ("num_tokens", 2, _INT64, _OPTIONAL, ""),
        ("tokens_per_second", 3, _DOUBLE, _OPTIONAL, ""),
    ),
    # A map is repeated entries of key and value.
    "Duration": (
        ("key", 1, _STRING, _OPTIONAL, ""),
        ("value", 2, _INT64, _OPTIONAL, ""),
    ),
    "LitertLmMetrics": (
        ("benchmark_params", 1, _MESSAGE, _OPTIONAL, "BenchmarkParams"),
        ("init_phase_durations_us", 2, _MESSAGE, _REPEATED, "Duration"),
        ("mark_durations_us", 3, _MESSAGE, _REPEATED, "Duration"),
        ("prefill_turns", 4, _MESSAGE, _REPEATED, "BenchmarkTurnData"),
        ("decode_turns", 5, _MESSAGE, _REPEATED, "BenchmarkTurnData"),
        ("text_to_token_ids_turns", 6, _MESSAGE, _REPEATED, "BenchmarkTurnData"),
        ("time_to_first_token_seconds", 7, _DOUBLE, _OPTIONAL, ""),
        ("peak_mem_mb", 8, _FLOAT, _OPTIONAL, ""),
        ("peak_private_mb", 9, _FLOAT, _OPTIONAL, ""),
    ),
    "LitertLmMetricsList": (("metrics", 1, _MESSAGE, _REPEATED, "LitertLmMetrics"),),
}


def parse_metrics_proto(data: bytes) -> EngineLog | None:
    """Return what a metrics file tells of its last run; `None` if it is none, or is empty."""
    from google.protobuf.message import DecodeError

    if len(data) > _MOST_BYTES:
        return None
    told = metrics_class()()
    try:
        told.ParseFromString(data)
    except (DecodeError, UnicodeDecodeError, RecursionError, ValueError):
        return None
    if not told.metrics:
        return None
    last = told.metrics[-1]
    phases = {
        entry.key: ms
        for entry in last.init_phase_durations_us
        if (ms := positive(entry.value, 1e-3)) is not None
    }
    prefill, decode = _last(last.prefill_turns), _last(last.decode_turns)
    metrics = Metrics(
        init_ms=phases.pop("Init Total", None),
        ttft_ms=positive(last.time_to_first_token_seconds, 1000),
        prefill_tokens=_count(prefill),
        prefill_tokens_per_s=_rate(prefill),
        decode_tokens=_count(decode),
        decode_tokens_per_s=_rate(decode),
        init_phases_ms=phases,
    )
    return EngineLog(
        metrics=None if metrics == Metrics() else metrics,
        memory=Memory(peak_rss_bytes=mib(last.peak_mem_mb)),
        peak_private_bytes=mib(last.peak_private_mb),
        no_turns=tuple(
            name for name, turn in (("prefill", prefill), ("decode", decode)) if turn is None
        ),
    )


@functools.cache
def metrics_class() -> Any:
    """Return protobuf's class for `LitertLmMetricsList`."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(
        name="litert_lm_metrics.proto", package=_PACKAGE, syntax="proto2"
    )
    for message, fields in _MESSAGES.items():
        made = file.message_type.add(name=message)
        for name, number, kind, label, of in fields:
            field = made.field.add(name=name, number=number, type=kind, label=label)
            if of:
                field.type_name = f".{_PACKAGE}.{of}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    descriptor = pool.FindMessageTypeByName(f"{_PACKAGE}.LitertLmMetricsList")
    return message_factory.GetMessageClass(descriptor)


def _last(turns: Any) -> Any | None:
    return turns[-1] if turns else None


def _count(turn: Any | None) -> int | None:
    told = turn is not None and turn.HasField("num_tokens") and turn.num_tokens >= 0
    return int(turn.num_tokens) if turn is not None and told else None


def _rate(turn: Any | None) -> float | None:
    if turn is None or not math.isfinite(turn.tokens_per_second):
        return None
    return positive(turn.tokens_per_second)
