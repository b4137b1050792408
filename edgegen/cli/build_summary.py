"""The table that ends a build."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

from rich.console import Console
from rich.table import Table

from edgegen.report.tables import MIB, mib

if TYPE_CHECKING:
    from edgegen.pipeline import Build


def _prediction(made: Build, bundle_bytes: int) -> str:
    """Say what the plan said of the bundle and of converting, and what came."""
    planned = made.predicted
    converted = next(cost for cost in made.stages if cost.name == "convert")
    peak = converted.peak_memory_bytes
    came = f"{mib(bundle_bytes)}, {converted.wall_s:.0f} s" + (f", {mib(peak)}" if peak else "")
    size = planned.recipes[0].bundle_bytes
    said = f"{'-' if size is None else mib(size)}, {planned.host_s:.0f} s"
    return f"planned (bundle, converting): {said}, {mib(planned.host_bytes)}; measured: {came}"


def summary(made: Build, out: TextIO) -> None:
    """Print sizes, the cost of each stage, and what the self-check found."""
    console = Console(file=out, highlight=False, soft_wrap=True)
    bundle_bytes = made.bundle.path.stat().st_size
    console.print(
        f"{made.bundle.path}: {mib(bundle_bytes)} from a checkpoint of "
        f"{mib(made.checkpoint_bytes)}, {made.parameter_count / 1e6:.1f} M parameters",
        markup=False,
    )
    lens = ", ".join(map(str, made.spec.prefill_lens))
    console.print(
        f"recipe {made.recipe}, prefill {lens}, KV cache {made.spec.kv_cache_len} tokens",
        markup=False,
    )
    table = Table("stage", box=None, pad_edge=False)
    table.add_column("time (s)", justify="right")
    table.add_column("peak memory (MiB)", justify="right")
    for cost in made.stages:
        peak = cost.peak_memory_bytes
        table.add_row(cost.name, f"{cost.wall_s:.1f}", "-" if peak is None else f"{peak / MIB:.0f}")
    console.print(table)
    console.print(_prediction(made, bundle_bytes), markup=False)
    if made.check is None:
        console.print("self-check skipped")
        return
    parity = made.check.parity
    console.print(
        f"self-check passed: logits against torch on {parity.tokens} tokens: cosine "
        f"{parity.cosine:.6f}, KL {parity.kl:.2g}, same top token {parity.top1_agreement:.0%}; "
        f"LiteRT-LM opens it and continues with {made.check.text!r}",
        markup=False,
    )
