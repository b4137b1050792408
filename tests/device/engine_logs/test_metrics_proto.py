"""LiteRT-LM's metrics file."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgegen.device.bench.record import Memory, Metrics
from edgegen.device.engine_logs import parse_metrics_proto
from edgegen.device.engine_logs.metrics_proto import metrics_class

MIB = 1024**2


def varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def field(number: int, value: bytes | int | float, *, single: bool = False) -> bytes:
    """Return a field as the wire has it, by hand."""
    if isinstance(value, bytes):
        return varint(number << 3 | 2) + varint(len(value)) + value
    if isinstance(value, float):
        kind, form = (5, "<f") if single else (1, "<d")
        return varint(number << 3 | kind) + struct.pack(form, value)
    return varint(number << 3) + varint(value)


def turn(us: int, tokens: int, rate: float) -> bytes:
    return field(1, us) + field(2, tokens) + field(3, rate)


def one_run(prefill: bytes, decode: bytes) -> bytes:
    return (
        field(1, field(1, 128) + field(2, 64))
        + field(2, field(1, b"Init Total") + field(2, 580_100))
        + field(2, field(1, b"Init Executor") + field(2, 577_300))
        + field(4, prefill)
        + field(5, decode)
        + field(7, 0.92)
        + field(8, 1000.5, single=True)
        + field(9, 1200.25, single=True)
    )


def test_a_file_by_hand_is_read():
    first = one_run(turn(1, 1, 1.0), turn(1, 1, 1.0))
    last = one_run(turn(819_951, 16, 19.51), turn(8_703_800, 88, 10.11))
    found = parse_metrics_proto(field(1, first) + field(1, last))
    assert found is not None
    assert found.metrics == Metrics(
        init_ms=pytest.approx(580.1),
        ttft_ms=pytest.approx(920.0),
        prefill_tokens=16,
        prefill_tokens_per_s=19.51,
        decode_tokens=88,
        decode_tokens_per_s=10.11,
        init_phases_ms={"Init Executor": pytest.approx(577.3)},
    )
    assert found.memory == Memory(peak_rss_bytes=round(1000.5 * MIB))
    assert found.peak_private_bytes == round(1200.25 * MIB)
    assert found.no_turns == ()


def test_a_run_without_turns_has_no_rates():
    found = parse_metrics_proto(field(1, field(2, field(1, b"Init Total") + field(2, 1000))))
    assert found is not None
    assert found.metrics == Metrics(init_ms=1.0)
    assert found.no_turns == ("prefill", "decode")


def test_rates_that_cannot_be_are_absent():
    data = field(1, field(4, turn(1, 5, float("nan"))) + field(5, turn(1, 5, 0.0)))
    found = parse_metrics_proto(data)
    assert found is not None
    assert found.metrics == Metrics(prefill_tokens=5, decode_tokens=5)


@pytest.mark.parametrize("data", [b"", b"\n", b"garbage that is no proto", b"\n\xff\xff\xff"])
def test_what_is_no_metrics_file_is_none(data):
    assert parse_metrics_proto(data) is None


def test_a_file_too_large_is_not_read():
    assert parse_metrics_proto(field(1, field(3, field(1, b"x" * 5 * MIB)))) is None


def test_fields_of_later_versions_do_no_harm():
    data = field(1, one_run(turn(1, 2, 3.0), turn(4, 5, 6.0)) + field(77, b"new"))
    found = parse_metrics_proto(data)
    assert found is not None
    assert found.metrics is not None
    assert found.metrics.decode_tokens_per_s == 6.0


@given(st.binary(max_size=400))
@settings(deadline=None)
def test_no_bytes_make_it_raise(data):
    found = parse_metrics_proto(data)
    assert found is None or found.memory.peak_dmabuf_bytes is None


@given(
    st.lists(
        st.tuples(
            st.integers(0, 2**31 - 1), st.floats(allow_nan=False, min_value=0, max_value=1e12)
        ),
        min_size=1,
        max_size=4,
    )
)
@settings(deadline=None)
def test_what_is_written_is_read(turns):
    message = metrics_class()()
    run = message.metrics.add()
    for tokens, rate in turns:
        run.prefill_turns.add(num_tokens=tokens, tokens_per_second=rate)
    found = parse_metrics_proto(message.SerializeToString())
    assert found is not None
    assert found.metrics is not None
    assert found.metrics.prefill_tokens == turns[-1][0]
    assert found.metrics.prefill_tokens_per_s == (turns[-1][1] or None)
