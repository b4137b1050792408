"""A report as rows of llama-bench's JSONL, for tools that read those.

llama-bench measures prompt processing and generation apart, so a test of both becomes two rows:
`pp512`, and `tg128` at a depth of 512. Its compare script puts rows together by equality, which
null never has; so what LiteRT-LM has no counterpart for holds a fixed value, the same in all rows.
It says nothing of the run, and need not be what llama-bench itself would write.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Sequence
from typing import Any

from edgegen.device.bench.record import Record
from edgegen.report.bench.cells import CellSummary
from edgegen.report.bench.figures import FIGURES
from edgegen.report.bench.runs import Report
from edgegen.report.bench.wording import short

_NS = 1e9
# Of llama.cpp's own kind; LiteRT-LM has no such thing, or does not tell.
_UNUSED = {
    "cpu_strict": False,
    "poll": 0,
    "type_k": "",
    "type_v": "",
    "split_mode": "none",
    "main_gpu": 0,
    "no_kv_offload": False,
    "flash_attn": False,
    "tensor_split": "0.00",
    "tensor_buft_overrides": "none",
    "use_mmap": True,
    "embeddings": False,
    "no_op_offload": 0,
}


def render_llama_bench(report: Report) -> str:
    """Return a line for each rate of each cell that has one."""
    return "".join(f"{json.dumps(row)}\n" for cell in report.cells for row in _rows(cell))


def _rows(cell: CellSummary) -> Iterator[dict[str, Any]]:
    record = cell.example
    prefill = cell.values.get("prefill_tokens_per_s")
    if prefill is not None:
        yield _row(cell, record.prefill_tokens, 0, record.depth, prefill, "prefill_tokens_per_s")
    decode = cell.values.get("decode_tokens_per_s")
    if decode is not None:
        depth = record.depth + record.prefill_tokens
        yield _row(cell, 0, record.decode_tokens, depth, decode, "decode_tokens_per_s")


def _row(
    cell: CellSummary, prompt: int, answer: int, depth: int, rates: Sequence[float], figure: str
) -> dict[str, Any]:
    record = cell.example
    times = [round((prompt + answer) / rate * _NS) for rate in rates]
    first = next(r for r in cell.kept if FIGURES[figure].of(r) is not None)
    gpu = record.delegate == "gpu"
    batch = record.prefill_padded_tokens or record.prefill_tokens
    return {
        "build_commit": _build(record),
        "build_number": 0,
        "cpu_info": short(_device(record, "soc") or _device(record, "model") or "unknown"),
        "gpu_info": short(record.engine.gpu_adapter or _device(record, "gpu")) if gpu else "",
        "backends": "GPU" if gpu else "CPU",
        "model_filename": record.bundle.name,
        "model_type": record.bundle.recipe or record.bundle.name,
        "model_size": record.bundle.weight_bytes or record.bundle.size_bytes,
        "model_n_params": None,
        "n_batch": batch,
        "n_ubatch": batch,
        "n_threads": record.threads or 0,
        "cpu_mask": hex(record.cpu_mask or 0),
        "n_gpu_layers": -1 if gpu else 0,
        **_UNUSED,
        "n_prompt": prompt,
        "n_gen": answer,
        "n_depth": depth,
        "test_time": first.started_at,
        "avg_ns": round(statistics.fmean(times)),
        "stddev_ns": round(statistics.stdev(times)) if len(times) > 1 else 0,
        "avg_ts": statistics.fmean(rates),
        "stddev_ts": statistics.stdev(rates) if len(rates) > 1 else 0.0,
        "samples_ns": times,
        "samples_ts": list(rates),
    }


def _build(record: Record) -> str:
    """Return what stands for the commit of the build: the engine and its version."""
    return short(f"{record.engine.name} {record.engine.version or ''}".strip(), 40)


def _device(record: Record, name: str) -> str:
    value = record.device.get(name)
    return value if isinstance(value, str) else ""
