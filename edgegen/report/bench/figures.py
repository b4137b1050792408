"""What is reported of a run: each figure with its name, its unit and which way is better."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edgegen.device.bench.record import Record
from edgegen.report.tables import MIB, number

_AMOUNT = ("less", "more")


@dataclass(frozen=True)
class Figure:
    """A quantity that a run has one value of.

    Attributes:
        label: What people read.
        unit: Unit that people read it in.
        divisor: From the record's unit to that one.
        higher_is_better: Which way is better; `None` where neither is.
        of: Takes it from a record; `None` where the record has none.
        words: What a better and a worse value is called.
    """

    label: str
    unit: str
    divisor: float
    higher_is_better: bool | None
    of: Callable[[Record], float | None]
    words: tuple[str, str] = ("faster", "slower")

    def shown(self, value: float) -> str:
        """Return a value in the record's unit as people read it, without the unit."""
        scaled = value / self.divisor
        return f"{scaled:.3f}" if 0 < abs(scaled) < 1 else number(scaled)


def _metric(name: str) -> Callable[[Record], float | None]:
    return lambda record: None if record.metrics is None else getattr(record.metrics, name)


def _memory(label: str, name: str) -> Figure:
    return Figure(label, "MiB", MIB, False, lambda r: getattr(r.memory, name), _AMOUNT)


def _prefill(name: str) -> Callable[[Record], float | None]:
    """Take it only where a prompt was asked for: engines feed a token where there is none."""
    take = _metric(name)
    return lambda record: take(record) if record.prefill_tokens else None


def _decode(record: Record) -> float | None:
    rate = _metric("decode_tokens_per_s")
    return rate(record) if record.decode_tokens else None


def _energy(record: Record) -> float | None:
    return None if record.energy is None else record.energy.joules_per_token


# Name in summaries and exports -> what it is; the order is that of reports.
FIGURES = {
    "decode_tokens_per_s": Figure("decode", "tokens/s", 1, True, _decode),
    "prefill_tokens_per_s": Figure(
        "prefill", "tokens/s", 1, True, _prefill("prefill_tokens_per_s")
    ),
    "ttft_ms": Figure("time to first token", "ms", 1, False, _prefill("ttft_ms")),
    "init_ms": Figure("initialization, warm", "ms", 1, False, _metric("init_ms")),
    "peak_rss_bytes": _memory("peak memory", "peak_rss_bytes"),
    "peak_rss_anon_bytes": _memory("… its own", "peak_rss_anon_bytes"),
    "peak_rss_file_bytes": _memory("… mapped files", "peak_rss_file_bytes"),
    "peak_pss_bytes": _memory("peak PSS", "peak_pss_bytes"),
    "peak_gpu_bytes": _memory("peak GPU memory", "peak_gpu_bytes"),
    "peak_dmabuf_bytes": _memory("peak dma-buf", "peak_dmabuf_bytes"),
    "joules_per_token": Figure("energy", "J/token", 1, False, _energy, _AMOUNT),
    "max_celsius": Figure(
        "highest temperature", "°C", 1, None, lambda record: record.conditions.max_celsius
    ),
}
# Of a run that found nothing prepared, which is told apart from the others.
COLD_INIT = Figure("initialization, cold", "ms", 1, False, _metric("init_ms"))
# What two benchmarks are compared by, and what `--fail-if-slower` looks at.
COMPARED = (
    "decode_tokens_per_s",
    "prefill_tokens_per_s",
    "ttft_ms",
    "init_ms",
    "peak_rss_bytes",
    "joules_per_token",
)
SPEEDS = ("decode_tokens_per_s", "prefill_tokens_per_s", "ttft_ms")
