"""LiteRT-LM's log: rates, memory, delegates.

Four forms are known: the block that begins with `BenchmarkInfo:` (three generations of it, and the
median of several iterations), the flat lines of `--log_sink_file`, and the table of the Python
command line. Of several blocks the last counts, which for iterations is their median.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from edgegen.device.bench.record import DelegationFacts, Memory, Metrics
from edgegen.device.engine_logs.gpu import GpuEvidence, parse_delegations, parse_gpu_evidence
from edgegen.device.engine_logs.numbers import COUNT, NUMBER, duration_ms, mib, positive

_LONGEST = 16 * 1024**2
_HEAD = re.compile(
    r"^[^\n]{0,200}?(?:Aggregated BenchmarkInfo \(median of (\d{1,9}) iterations\)|BenchmarkInfo):"
    r"[ \t]*$",
    re.MULTILINE,
)
_FLAT_HEAD = re.compile(r"Benchmark flags: benchmark_prefill_tokens=", re.MULTILINE)
_CLI_HEAD = re.compile(r"^-{3,} Results -{3,}[ \t]*$", re.MULTILINE)

_PHASES = re.compile(r"^\s*Init Phases \(\d{1,9}\):[ \t]*$")
_PHASE = re.compile(rf"^\s*(?:- )?([^:\n]{{1,100}}): {NUMBER} ms$")
_TURNS = re.compile(r"^\s*(Prefill|Decode) Turns \(Total:? \d{1,9}(?: turns)?\):$")
_NO_TURNS = re.compile(r"No (prefill|decode) turns recorded")
_TURN = re.compile(
    rf"^\s*(Prefill|Decode) Turn \d{{1,9}}:"
    rf"(?: Processed {COUNT} tokens in (\S{{1,60}}) duration\.)?$"
)
_SPEED = re.compile(rf"^\s*(Prefill|Decode) Speed: {NUMBER} tokens/sec\.?$")
_TTFT = re.compile(rf"^\s*Time to first token:\s{{1,20}}{NUMBER} s$")
_FLAT_SPEED = re.compile(rf"^\s*(Prefill|Decode) speed turn \d{{1,9}}: {NUMBER} tk/s$")
_CLI_SPEED = re.compile(rf"^\s*(Prefill|Decode) speed:\s{{1,20}}{NUMBER} tokens/s$")
_CLI_INIT = re.compile(rf"^\s*Init time:\s{{1,20}}{NUMBER} s$")
_TOTALS = ("Init Total", "Total init time")

_PEAK_RAM = re.compile(rf"Peak system ram usage: {NUMBER} ?MB")
_MAX_RSS = re.compile(
    rf"Memory usage: max resident set size/physical footprint = {NUMBER} ?MB", re.IGNORECASE
)
_PRIVATE = re.compile(rf"Peak private footprint: {NUMBER} ?MB")
_DMABUF = re.compile(rf"Peak DMA-BUF hardware usage: {NUMBER} MB")


_Part = TypeVar("_Part", Metrics, Memory)


@dataclass(frozen=True)
class EngineLog:
    """What a log tells; what it does not tell is `None` or empty.

    Attributes:
        metrics: Times and rates; `None` if it has none at all.
        memory: What the engine itself measured of its memory.
        peak_private_bytes: Its own resident memory and swap.
        delegations: Who computed what.
        gpu: What it shows of a GPU.
        no_turns: `prefill` and `decode`, if the engine says that it ran none.
        turns_ms: How long the last `prefill` and `decode` took.
        iterations: How many iterations the metrics are the median of.
    """

    metrics: Metrics | None = None
    memory: Memory = dataclasses.field(default_factory=Memory)
    peak_private_bytes: int | None = None
    delegations: tuple[DelegationFacts, ...] = ()
    gpu: GpuEvidence = dataclasses.field(default_factory=GpuEvidence)
    no_turns: tuple[str, ...] = ()
    turns_ms: Mapping[str, float] = dataclasses.field(default_factory=dict)
    iterations: int | None = None


def parse_log(text: str) -> EngineLog:
    """Return what an engine's log tells. Never raises."""
    text = text[-_LONGEST:].replace("\r\n", "\n")
    heads = list(_HEAD.finditer(text))
    flat = _FLAT_HEAD.search(text) is not None and not heads
    if heads:
        block = text[heads[-1].end() :]
    elif flat:
        block = text[[found.start() for found in _FLAT_HEAD.finditer(text)][-1] :]
    else:
        found = list(_CLI_HEAD.finditer(text))
        block = text[found[-1].end() :] if found else text
    reading = _Block(flat)
    for line in block.splitlines():
        reading.read(line)
    metrics = reading.metrics()
    delegations = parse_delegations(text)
    private = _last(_PRIVATE, text)
    ram = _last(_PEAK_RAM, text) or _last(_MAX_RSS, text)
    if flat and ram == private:
        ram = None  # one version writes the private footprint in its place
    return EngineLog(
        metrics=None if metrics == Metrics() else metrics,
        memory=Memory(peak_rss_bytes=mib(ram), peak_dmabuf_bytes=mib(_last(_DMABUF, text))),
        peak_private_bytes=mib(private),
        delegations=delegations,
        gpu=parse_gpu_evidence(text),
        no_turns=tuple(sorted(reading.no_turns)),
        turns_ms=reading.turns_ms,
        iterations=int(heads[-1][1]) if heads and heads[-1][1] else None,
    )


def joined(first: EngineLog | None, log: EngineLog) -> EngineLog:
    """Return what a metrics file tells, and of what it does not tell the log's word."""
    if first is None:
        return log
    ours, theirs = first.metrics or Metrics(), log.metrics or Metrics()
    metrics = _filled(ours, theirs)
    return dataclasses.replace(
        log,
        metrics=None if metrics == Metrics() else metrics,
        memory=_filled(first.memory, log.memory),
        peak_private_bytes=first.peak_private_bytes or log.peak_private_bytes,
        no_turns=first.no_turns,
    )


class _Block:
    """Reads a block line by line."""

    def __init__(self, flat: bool) -> None:
        self._flat = flat
        self._in_phases = flat
        self._phases: dict[str, float] = {}
        self._init_ms: float | None = None
        self._ttft_ms: float | None = None
        self._tokens: dict[str, int | None] = {}
        self._rates: dict[str, float | None] = {}
        self.no_turns: set[str] = set()
        self.turns_ms: dict[str, float] = {}

    def read(self, line: str) -> None:
        """Read a line."""
        line = line.rstrip()[:400]
        if _PHASES.match(line):
            self._in_phases = True
        elif line.startswith("-----"):
            self._in_phases = False
        elif found := _NO_TURNS.search(line):
            self.no_turns.add(found[1].lower())
        elif found := _TTFT.match(line):
            self._in_phases = False
            self._ttft_ms = positive(found[1], 1000)
        elif _TURNS.match(line):
            self._in_phases = False
        elif found := _TURN.match(line):
            name = found[1].lower()
            self._tokens[name] = None if found[2] is None else int(found[2])
            self._rates[name] = None
            if found[3] is not None and (ms := duration_ms(found[3])) is not None:
                self.turns_ms[name] = ms
        elif found := _SPEED.match(line) or _FLAT_SPEED.match(line) or _CLI_SPEED.match(line):
            self._in_phases = False
            self._rates[found[1].lower()] = positive(found[2])
        elif found := _CLI_INIT.match(line):
            self._init_ms = positive(found[1], 1000)
        elif self._in_phases and (found := _PHASE.match(line)):
            self._phase(found[1].strip(), positive(found[2]))

    def _phase(self, name: str, ms: float | None) -> None:
        if name in _TOTALS:
            self._init_ms = ms
        elif ms is not None:
            self._phases[name] = ms

    def metrics(self) -> Metrics:
        """Return what was read. A phase without a turn has neither count nor rate."""
        ran = {"prefill", "decode"} - self.no_turns
        return Metrics(
            init_ms=self._init_ms,
            ttft_ms=self._ttft_ms,
            prefill_tokens=self._tokens.get("prefill") if "prefill" in ran else None,
            prefill_tokens_per_s=self._rates.get("prefill") if "prefill" in ran else None,
            decode_tokens=self._tokens.get("decode") if "decode" in ran else None,
            decode_tokens_per_s=self._rates.get("decode") if "decode" in ran else None,
            init_phases_ms=self._phases,
        )


def _last(pattern: re.Pattern[str], text: str) -> str | None:
    found = pattern.findall(text)
    return found[-1] if found else None


def _filled(first: _Part, second: _Part) -> _Part:
    """Return `first` with what it lacks from `second`."""
    values = {
        field.name: getattr(second, field.name)
        for field in dataclasses.fields(first)
        if getattr(first, field.name) in (None, {})
    }
    return dataclasses.replace(first, **values)
